"""How fast Carillon is, measured beside other ways to send the same mails. Start with `make bench`."""
