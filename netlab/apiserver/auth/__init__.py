"""Who asks, and whether he may: certificates, tokens, authentication, authorization."""
