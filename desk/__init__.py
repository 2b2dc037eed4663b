"""The desk: the web page on which people approve budgets and operators look after them."""
