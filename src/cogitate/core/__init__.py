"""The core: flow language, machine, requests, seeds, candidates, protocols, journal format."""
