"""What several decoders share: the fields of network servers, names of LwM2M, entities of NGSI, times and places."""
