// Signs a message for budget-bridge, in a browser or in Node from version 20; docs/signatures.md says how it is used.
const NAMES = ["id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time"];
const TYPE = "https://cloudevents.io/verifiability/dsse/v0.1";
const toBytes = (text) => new TextEncoder().encode(text);
const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
const digest = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

// `attributes` and `data`, a text, exactly as they are sent; `key` is a CryptoKey. Gives ce_dssematerial.
export async function sign(attributes, data, kid, key) {
  const time = new Date(attributes.time).toISOString().slice(0, 19) + "Z";
  const parts = NAMES.map((name) => (name === "time" ? time : attributes[name] ?? ""));
  const digests = await Promise.all([...parts, data].map((part) => digest(toBytes(part))));
  const core = await digest(new Uint8Array(digests.flatMap((bytes) => [...bytes])));
  const payload = JSON.stringify({ core: toBase64(core) });
  const signed = toBytes(`DSSEv1 ${TYPE.length} ${TYPE} ${payload.length} ${payload}`);
  const sig = await crypto.subtle.sign({ name: key.algorithm.name, hash: "SHA-256" }, key, signed);
  const signatures = [{ keyid: kid, sig: toBase64(new Uint8Array(sig)) }];
  return toBase64(toBytes(JSON.stringify({ payload: btoa(payload), payloadType: TYPE, signatures })));
}
