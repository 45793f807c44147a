"""The layouts of users' own data sets: a descriptor, folders, PASCAL VOC."""
