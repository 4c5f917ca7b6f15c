"""What the kubelet finds out about running containers by probing them; see ``prober.PodProbes``."""
