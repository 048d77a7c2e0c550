"""Keys of the dock: bound while it is open, given back when it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app_model.types import KeyBinding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NOTHING = object()


class KeyBindings:
    """Binds keys in the viewer and on layers, which come before the viewer's.

    Parameters
    ----------
    actions : mapping of str to callable
        What can be done, by name.
    leaves : callable
        Whether an action, by name, is left to what napari itself has bound to its key, in the
        viewer or on the layer that is given.
    """

    def __init__(
        self,
        actions: Mapping[str, Callable[[], Any]],
        leaves: Callable[[str, Any], bool] = lambda _action, _where: False,
    ) -> None:
        self._actions, self._leaves = actions, leaves
        self._keys: dict[str, KeyBinding] = {}
        self._bound: list[tuple[Any, KeyBinding, Any]] = []

    def use(self, keys: Mapping[str, str]) -> None:
        """Take other keys, such as ``{"commit": "Enter"}``; "" leaves an action without one."""
        places = list(dict.fromkeys(target for target, _, _ in self._bound))
        self.unbind()
        self._keys = {
            action: KeyBinding.from_str(keys[action]) for action in self._actions if keys[action]
        }
        for target in places:
            self.bind(target)

    def bind(self, target: Any) -> None:
        """Bind them in the viewer, or on a layer; what was bound there is kept for later."""
        held = {key for each, key, _ in self._bound if each is target}
        for action, key in self._keys.items():
            if key not in held:
                self._bound.append((target, key, target.keymap.get(key, _NOTHING)))
                target.bind_key(key, self._pressed(action, key), overwrite=True)

    def unbind(self, target: Any = None) -> None:
        """Give back what was bound before: everywhere, or in one place."""
        kept = []
        for each, key, before in reversed(self._bound):
            if target is not None and each is not target:
                kept.append((each, key, before))
            elif before is _NOTHING:
                each.keymap.pop(key, None)
            else:
                each.keymap[key] = before
        self._bound = kept[::-1]

    def _pressed(self, action: str, key: KeyBinding) -> Callable[[Any], None]:
        def press(where: Any) -> None:
            left = _is_drawing(where) or self._leaves(action, where)
            own = _own(where, key) if left else None
            if own is None:
                self._actions[action]()
            else:  # such as Enter, which ends a polygon
                own(where)

        return press


def _is_drawing(where: Any) -> bool:
    """Whether an outline is being drawn on a Shapes or Labels layer."""
    drawing = getattr(where, "_is_creating", False)
    return bool(drawing) or str(getattr(where, "mode", "")) == "polygon"


def _own(layer: Any, key: KeyBinding) -> Callable[[Any], Any] | None:
    """What napari itself has bound to a key for that kind of layer."""
    for kind in type(layer).__mro__:
        found = getattr(kind, "class_keymap", {}).get(key)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return None
