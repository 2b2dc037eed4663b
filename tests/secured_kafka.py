"""A broker as an administrator sets it up: TLS, users who log in, and an authorizer that permits nothing by itself."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from demo import kafka_server, server_process
from demo.server_process import choose_ports
from tests.token_endpoint import AUDIENCE, ISSUER, SECRET, Tokens, make_key, run_token_endpoint, write_keys
from worker.kafka.acls import Acl, Kind, Operation

PASSWORD: Final = "secret"

# The numbers of Kafka's protocol.
_KINDS: Final[dict[Kind, int]] = {"topic": 2, "group": 3, "transactional-id": 5}
_OPERATIONS: Final[dict[Operation, int]] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3

_AUTHORIZER: Final = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_VALIDATOR: Final = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
_OAUTH: Final = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"


class SecuredPlaces(NamedTuple):
    """Where the broker is; ``direct`` is where tests may do everything."""

    direct: str
    scram: str
    plain: str
    oauth: str
    folder: str
    """Where its certificate is, and the key of the tokens that it takes."""


@dataclass(frozen=True)
class SecuredKafka:
    """The broker, as it is seen from one process."""

    places: SecuredPlaces
    tokens: Tokens

    @property
    def certificate(self) -> Path:
        return Path(self.places.folder) / "broker.pem"

    def log_in_by_token(self, client: str) -> dict[str, str]:
        """The environment of a client that logs in by tokens."""
        return {
            "KAFKA_BOOTSTRAP": self.places.oauth,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_OAUTH_TOKEN_URL": self.tokens.url,
            "KAFKA_OAUTH_CLIENT_ID": client,
            "KAFKA_OAUTH_CLIENT_SECRET": SECRET,
            "KAFKA_SSL_CAFILE": str(self.certificate),
        }

    def log_in(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The environment of a user, whose password is that of all."""
        return {
            "KAFKA_BOOTSTRAP": self.places.plain if mechanism == "PLAIN" else self.places.scram,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CAFILE": str(self.certificate),
        }

    async def permit(self, user: str, acls: Sequence[Acl]) -> None:
        """Add ACLs, and wait until they count."""
        for acl in acls:
            pattern = _PREFIXED if acl.is_prefix else _LITERAL
            asked = (_KINDS[acl.kind], acl.name, pattern, f"User:{user}", "*", _OPERATIONS[acl.operation], _ALLOW)
            done = await self._ask(CreateAclsRequest(*asked))
            assert [code for code, _ in done.creation_responses] == [0], done

    async def forbid(self, user: str, acls: Sequence[Acl]) -> None:
        """Remove ACLs."""
        for acl in acls:
            pattern = _PREFIXED if acl.is_prefix else _LITERAL
            asked = (_KINDS[acl.kind], acl.name, pattern, f"User:{user}", "*", _OPERATIONS[acl.operation], _ALLOW)
            done = await self._ask(DeleteAclsRequest(*asked))
            assert [(code, len(found)) for code, _, found in done.filter_responses] == [(0, 1)], done

    async def _ask(self, request: Any) -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.places.direct)
        await admin.start()
        try:
            return await admin._send_request(request)
        finally:
            await admin.close()


@contextmanager
def open_secured_kafka(places: SecuredPlaces) -> Iterator[SecuredKafka]:
    """Open a broker that runs, with a token endpoint of this process."""
    key = load_pem_private_key((Path(places.folder) / "tokens.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with run_token_endpoint(key) as tokens:
        yield SecuredKafka(places, tokens)


@contextmanager
def run_secured_kafka(folder: Path, users: Sequence[str]) -> Iterator[SecuredPlaces]:
    """Run a broker on which these users may log in, and whoever has a token.

    Args:
        folder: where everything is kept.
        users: their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = choose_ports(3)
    scram, plain, oauth = (f"127.0.0.1:{port}" for port in ports)
    certificate, key = _make_certificate(folder)
    keys = folder / "keys.json"
    signing = make_key()
    keys.write_text(write_keys(signing))
    pem = signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tokens.pem").write_bytes(pem)
    logins = " ".join(f'user_{user}="{PASSWORD}"' for user in users)
    listeners = [("SCRAM", scram), ("PLAIN", plain), ("OAUTH", oauth)]
    lines = [
        *_AUTHORIZER.split(),
        "sasl.enabled.mechanisms=SCRAM-SHA-512",
        f"listener.name.scram.scram-sha-512.sasl.jaas.config={_SCRAM};",
        "listener.name.plain.sasl.enabled.mechanisms=PLAIN",
        f"listener.name.plain.plain.sasl.jaas.config={_PLAIN} {logins};",
        "listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER",
        f"listener.name.oauth.oauthbearer.sasl.jaas.config={_OAUTH};",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={folder / 'keystore.pem'}",
        f"listener.name.oauth.oauthbearer.sasl.server.callback.handler.class={_VALIDATOR}",
        f"sasl.oauthbearer.jwks.endpoint.url={keys.as_uri()}",
        f"sasl.oauthbearer.expected.issuer={ISSUER}",
        f"sasl.oauthbearer.expected.audience={AUDIENCE}",
        # A connection ends with its token.
        "listener.name.oauth.oauthbearer.connections.max.reauth.ms=3600000",
    ]
    (folder / "keystore.pem").write_text(key.read_text() + certificate.read_text())
    configure, run = kafka_server._configure_kafka, server_process.run_to_completion

    def guard(node: kafka_server._Node, nodes: list[kafka_server._Node]) -> str:
        text = configure(node, nodes)
        added = "".join(f",{name}://{address}" for name, address in listeners)
        protocols = "".join(f",{name}:SASL_SSL" for name, _ in listeners)
        configured = []
        for line in text.splitlines():
            name, _, _ = line.partition("=")
            more = {"listeners": added, "advertised.listeners": added, "listener.security.protocol.map": protocols}
            configured.append(line + more.get(name, ""))
        return "\n".join([*configured, *lines]) + "\n"

    def add_users(command: Sequence[str | Path], **options: Any) -> None:
        adding = [
            word for user in users for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]")
        ]
        run([*command, *adding], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys.as_uri()}")
        patch.setattr(kafka_server, "_configure_kafka", guard)
        patch.setattr(kafka_server, "run_to_completion", add_users)
        with kafka_server.run_kafka(folder / "kafka", print) as started:
            yield SecuredPlaces(started.bootstrap, scram, plain, oauth, str(folder))


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "broker.pem", folder / "broker.key"
    options = f"-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -out {certificate}"
    named = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", *options.split(), *named], check=True, capture_output=True)
    return certificate, key
