"""How users lay out data sets of their own: a descriptor, folders, PASCAL VOC."""
