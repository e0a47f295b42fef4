import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation
from domain.errors import LabelConfigError
from domain.labels import Control, LabelClass
from tests.golden import recorded
from tests.unit.converters.configs import XML

IMAGE = '<Image name="image" value="$image"/>'
LABELS = '<PolygonLabels name="label" toName="image"><Label value="a"/></PolygonLabels>'


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


def labels(old: str, new: str) -> str:
    assert old in LABELS
    return LABELS.replace(old, new, 1)


def test_reads_control_classes_and_image() -> None:
    config = parse_label_config(XML)
    assert config.image_key == "image"
    assert (config.group.from_name, config.group.to_name) == ("label", "image")
    assert config.group.region_type == "polygonlabels"
    assert config.group.classes == (
        LabelClass(1, "lumen", "#ff5277"),
        LabelClass(2, "wall", "rgb(0, 158, 255)"),
    )
    assert config.xml == XML


def test_image_key_is_the_task_field_not_the_object_name() -> None:
    xml = view('<Image name="image" value="$photo_url"/>', LABELS)
    assert parse_label_config(xml).image_key == "photo_url"


def test_control_points_to_the_second_of_two_images() -> None:
    xml = view('<Image name="other" value="$b"/>', IMAGE, LABELS)
    assert parse_label_config(xml).image_key == "image"


def test_alias_is_the_stored_name() -> None:
    xml = view(IMAGE, labels('value="a"', 'value="Long name" alias="ln"'))
    assert parse_label_config(xml).class_values == ("ln",)


def test_a_label_keeps_every_name_it_has() -> None:
    text = 'value="Long name" alias="ln" predicted_values="boat, ship"'
    (only,) = parse_label_config(view(IMAGE, labels('value="a"', text))).group.classes
    assert (only.value, only.alias, only.title) == ("ln", "ln", "Long name")
    assert only.predicted_values == ("boat", "ship")
    assert only.names == ("ln", "Long name", "boat", "ship")


def test_controls_of_one_image_are_one_group() -> None:
    brush = (
        '<BrushLabels name="b" toName="image"><Label value="b"/><Label value="a"/></BrushLabels>'
    )
    second = labels('"label"', '"second"')
    group = parse_label_config(view(IMAGE, brush, LABELS, second)).group
    assert [c.value for c in group.classes] == ["b", "a"]
    assert group.controls == (
        Control("b", "image", "brushlabels"),
        Control("label", "image", "polygonlabels"),
        Control("second", "image", "polygonlabels"),
    )
    # Predictions go out as polygons, by the first such control.
    assert (group.from_name, group.region_type) == ("label", "polygonlabels")


def test_labels_beside_bare_controls() -> None:
    bare = '<Brush name="b" toName="image"/><Polygon name="p" toName="image"/>'
    tag = '<Labels name="l" toName="image"><Label value="a"/><Label value="c"/></Labels>'
    for xml in (view(IMAGE, bare, tag), view(tag, bare, IMAGE)):
        group = parse_label_config(xml).group
        assert [c.value for c in group.classes] == ["a", "c"]
        assert group.controls == (
            Control("b", "image", "brush", "l"),
            Control("p", "image", "polygon", "l"),
        )
        assert (group.from_name, group.region_type) == ("p", "polygon")


def test_labels_of_other_objects_are_not_ours() -> None:
    text = '<Text name="t" value="$t"/><Labels name="l" toName="t"><Label value="x"/></Labels>'
    config = parse_label_config(view(IMAGE, text, '<Rectangle name="r" toName="image"/>', LABELS))
    assert config.class_values == ("a",)
    assert [c.name for c in config.group.controls] == ["label"]


def test_two_images() -> None:
    other = '<Image name="other" value="$b"/>'
    box = '<RectangleLabels name="box" toName="other"><Label value="b"/></RectangleLabels>'
    xml = view(IMAGE, other, box, LABELS)
    first = parse_label_config(xml)
    assert (first.group.to_name, first.image_key, first.class_values) == ("other", "b", ("b",))
    assert first.image_names == ("image", "other")
    chosen = parse_label_config(xml, image="image")
    assert (chosen.group.from_name, chosen.image_key) == ("label", "image")
    with pytest.raises(LabelConfigError, match="'third'"):
        parse_label_config(xml, image="third")
    with pytest.raises(LabelConfigError, match="for the image 'other'"):
        parse_label_config(view(IMAGE, other, LABELS), image="other")


def test_deep_nesting_and_many_labels_do_not_hang() -> None:
    deep = "<View>" * 50_000 + IMAGE + LABELS + "</View>" * 50_000
    assert parse_label_config(deep).class_values == ("a",)
    many = "".join(f'<Label value="c{i}"/>' for i in range(50_000))
    with pytest.raises(LabelConfigError, match="50000 labels"):
        parse_label_config(view(IMAGE, labels('<Label value="a"/>', many)))


def test_tags_in_any_case_and_comments() -> None:
    xml = view(
        "<!-- <PolygonLabels/> -->",
        IMAGE.replace("Image", "IMAGE"),
        LABELS.replace("PolygonLabels", "polygonlabels"),
    )
    assert parse_label_config(xml).class_values == ("a",)


BOMB = '<!DOCTYPE v [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + view(
    IMAGE, labels('value="a"', 'value="&b;"')
)
EXTERNAL = '<!DOCTYPE v SYSTEM "file:///etc/passwd">' + view(IMAGE, LABELS)
MANY = "".join(f'<Label value="c{i}"/>' for i in range(256))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("<View>", "is not XML"),
        ("not xml", "is not XML"),
        ("<View>\x00</View>", "is not XML"),
        (BOMB, "document type or entities"),
        (EXTERNAL, "document type or entities"),
        (view(LABELS), "no <Image> object"),
        (view(IMAGE), "no <PolygonLabels> control"),
        (view(IMAGE, '<Rectangle name="r" toName="image"/>'), "no <PolygonLabels> control"),
        (view(IMAGE, '<Labels name="r" toName="image"><Label value="a"/></Labels>'), "nor another"),
        (view(IMAGE, labels('toName="image"', 'toName="img"')), "points to 'img'"),
        (view(IMAGE, labels('toName="image"', "")), "points to ''"),
        (view(IMAGE, labels('name="label" ', "")), "has no name"),
        (view(IMAGE, labels('<Label value="a"/>', "")), "has no <Label>"),
        (view(IMAGE, labels('value="a"', "")), "has no value"),
        (view(IMAGE, labels("<Label", '<Label value="a"/><Label')), "'a' more than once"),
        (view(IMAGE, labels('<Label value="a"/>', MANY)), "256 labels"),
        (view(IMAGE.replace("$image", "a list"), LABELS), "not one field"),
        (view(IMAGE.replace("$image", "$images[{{idx}}].url"), LABELS), "not one field"),
    ],
)
def test_refusals_say_what_and_what_to_do(xml: str, message: str) -> None:
    with pytest.raises(LabelConfigError, match=message) as caught:
        parse_label_config(xml)
    assert caught.value.remedy.endswith((".", ">"))


def test_recorded_setup_request() -> None:
    config = parse_label_config(recorded("calls/setup")["body"]["schema"])
    assert config.class_values == ("Lesion", "Organ")


TWO = (
    '<View><Image name="left" value="$t1"/><Image name="right" value="$t2"/>'
    '<Image name="report" value="$scan"/>'
    '<Labels name="kinds" toName="right"><Label value="wall"/><Label value="lumen"/></Labels>'
    '<Brush name="brush" toName="right"/>'
    '<PolygonLabels name="shape" toName="left"><Label value="lumen"/></PolygonLabels>'
    '<PolygonLabels name="stamp" toName="report"><Label value="name"/></PolygonLabels></View>'
)


def test_channels_count_as_one_image() -> None:
    config = parse_label_config(TWO, channels=["t2", "left", "hidden"])
    assert config.channel_keys == config.image_keys == ("t2", "t1", "hidden")
    assert config.image_key == "t2"
    assert config.class_values == ("wall", "lumen")
    assert [(c.name, c.to_name, c.labels_name) for c in config.group.controls] == [
        ("brush", "right", "kinds"),
        ("shape", "left", ""),
    ]
    # Predictions go out as polygons, on the image that has them.
    assert (config.group.from_name, config.group.to_name) == ("shape", "left")
    assert config.group.to_names == ("right", "left")


def test_a_single_channel_is_a_single_image() -> None:
    config = parse_label_config(TWO, channels=["report"])
    assert (config.channel_keys, config.image_keys) == ((), ("scan",))
    assert config.class_values == ("name",)


@pytest.mark.parametrize(
    ("channels", "fault"),
    [
        (["t1", "left"], "'t1' twice"),
        (["hidden"], "No <Image> object shows one of the channels 'hidden'"),
    ],
)
def test_channels_that_can_not_be_used(channels: list[str], fault: str) -> None:
    with pytest.raises(LabelConfigError, match=fault):
        parse_label_config(TWO, channels=channels)


def test_regions_on_every_channel_are_read() -> None:
    config = parse_label_config(TWO, channels=["t1", "t2"])
    square = {"points": [[0, 0], [50, 0], [50, 50], [0, 50]]}
    result = [
        {
            "id": "a",
            "type": "polygonlabels",
            "from_name": "shape",
            "to_name": "left",
            "value": {**square, "polygonlabels": ["lumen"]},
        },
        {
            "id": "b",
            "type": "polygonlabels",
            "from_name": "stamp",
            "to_name": "report",
            "value": {**square, "polygonlabels": ["name"]},
        },
    ]
    label_map, notes = annotation_to_label_map(Annotation(1, 1, result), config, (4, 4))
    assert label_map[0, 0] == 2
    assert [note.reason for note in notes] == ["other_image"]


@pytest.mark.parametrize("attribute", ["valueList", "valuelist"])
def test_pages_are_a_field_like_any_other(attribute: str) -> None:
    xml = view(IMAGE.replace("value=", f"{attribute}="), LABELS)
    assert parse_label_config(xml).image_key == "image"
