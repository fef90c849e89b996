"""Which channels a model's own weights are of, and whether those wanted are the same under other names."""

from __future__ import annotations

from anychan.channels import RGB, SAME_NAME, Channel, ChannelSet, ChannelsLike, is_near
from anychan.sensors import SENSORS

# What three channels may be called that are red, green and blue, in any case of letters: places from red to blue.
_WORDS = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}


def trained_channels(trained_on: ChannelsLike | None, known: ChannelSet) -> ChannelSet:
    """The channels of the model's own weights, each with the wavelength it has among those wanted, if it is there.

    Raises:
        ValueError: if it is not said which they are, and the channels wanted are three in which R, G and B are not
            where nearly all pretrained weights have them.
    """
    if trained_on is None:
        as_colours = _from_red_to_blue(known)
        if as_colours.names != known.names:
            raise ValueError(
                f"channels are {known}, and most models were trained on R, G and B in this order: say which channels "
                f"this one's weights are of, in the order of its planes, trained_on={str(as_colours)!r} or, if it is "
                f"so, trained_on={str(known)!r}"
            )
        return known
    trained = ChannelSet.parse(trained_on)
    _check_not_called_otherwise(trained, known)
    return ChannelSet(known[known.indices([c.name])[0]] if c in known else c for c in trained)


def _check_not_called_otherwise(trained: ChannelSet, known: ChannelSet) -> None:
    """Refuse channels trained on that are wanted under other names, whose kernels would be made anew.

    Raises:
        ValueError: if one trained on is missing that a wanted one is by the word for its colour, or all are missing and
            as many wanted ones have such wavelengths.
    """
    there = {name: name for name in trained.names if name in known.names}
    words = {_word(channel): channel for channel in known if channel not in trained}
    by_word = {
        channel.name: other.name
        for channel in trained
        if (other := words.get(_word(channel))) is not None
        and (None in (channel.wavelength, other.wavelength) or is_near(channel, other, SAME_NAME))
    }
    elsewhere = by_word if there or by_word else _by_wavelength(trained, known)
    same = [there.get(name, elsewhere.get(name, name)) for name in trained.names]
    if same != list(trained.names):
        pairs = ", ".join(f"{new} for {old}" for old, new in zip(trained.names, same, strict=True) if new != old)
        raise ValueError(
            f"of the channels trained on, {trained}, some seem to have other names among {known}: {pairs}. Kernels are "
            f"taken over by name: if these are the same bands, say trained_on={','.join(same)!r}"
        )


def _word(channel: Channel) -> int | str:
    return _WORDS.get(channel.name.lower(), channel.name)


def _by_wavelength(trained: ChannelSet, known: ChannelSet) -> dict[str, str]:
    """Which known channel each one trained on may be, in the order of wavelengths, if just as many lie near those.

    The wavelengths may be those of a sensor whose names the known channels have.
    """
    for bands in (known, *SENSORS.values()):
        found = [bands[bands.indices([name])[0]] for name in known.names if name in bands.names]
        near = [channel for channel in found if any(is_near(channel, one, SAME_NAME) for one in trained)]
        if len(found) == len(known) and len(near) == len(trained):
            in_order = (sorted(channels, key=lambda one: one.wavelength or 0) for channels in (trained, near))
            pairs = list(zip(*in_order, strict=True))
            if all(is_near(one, other, SAME_NAME) for one, other in pairs):
                return {one.name: other.name for one, other in pairs}
    return {}


def _from_red_to_blue(known: ChannelSet) -> ChannelSet:
    """What three channels are called that a model of R, G and B takes; others as they are.

    By their names, or by falling wavelengths, which may be those of a sensor whose names they have.
    """
    if len(known) != len(RGB) or known.names == RGB:
        return known
    words = [_WORDS.get(name.lower()) for name in known.names]
    if sorted(place for place in words if place is not None) == [0, 1, 2]:
        return ChannelSet(known[words.index(place)] for place in range(3))
    if any(name in RGB for name in known.names):
        return ChannelSet.parse("RGB")
    for bands in (known, *SENSORS.values()):
        found = [bands[bands.indices([name])[0]] for name in known.names if name in bands.names]
        places = [-channel.wavelength for channel in found if channel.wavelength is not None]
        if len(places) == len(known):
            return ChannelSet(known[i] for i in sorted(range(len(known)), key=places.__getitem__))
    return known
