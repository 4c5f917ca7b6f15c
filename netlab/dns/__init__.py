"""The cluster's DNS server: Services and EndpointSlices -> names -> answers."""
