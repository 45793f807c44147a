"""Caffe's two files, written without Caffe and without this library: the prototxt of a network and its caffemodel."""
