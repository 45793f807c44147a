"""The network: backbone, fusion, readout, and the specification that builds it."""
