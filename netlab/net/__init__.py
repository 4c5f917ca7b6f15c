"""Linux networking that knows no pods: namespaces, links, sysctls, rule sets, iptables, flows."""
