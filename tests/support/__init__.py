"""What several levels of tests share: labs, real clients, traces left behind."""
