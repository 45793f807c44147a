"""Find which images belong together, so that they are never in two splits."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from fullyconv.data.splits.names import natural

Key = tuple[str, str]
"""What an image belongs to: of what kind that is, such as a block, and its name."""


def join(keys: Mapping[Path, Sequence[Key]], alike: Iterable[Sequence[Path]]) -> dict[Path, str]:
    """Return the name of each image's group: images with a key in common, or alike, are in one group.

    ``keys`` has one or more keys for each image; the first gives the group's name. ``alike`` lists images that are
    (nearly) the same. A group that is joined from several has the first of their names, in natural order.
    """
    parent: dict[Hashable, Hashable] = {}

    def top(node: Hashable) -> Hashable:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for image, own in keys.items():
        for key in own:
            parent[top(key)] = top(image)
    for first, *others in alike:
        for other in others:
            parent[top(other)] = top(first)
    members: defaultdict[Hashable, list[Path]] = defaultdict(list)
    for image in keys:
        members[top(image)].append(image)
    names: dict[Path, str] = {}
    for images in members.values():
        found = {keys[image][0][1] for image in images}
        names |= dict.fromkeys(images, min(found, key=natural) if len(found) > 1 else found.pop())
    return names
