from xml.etree import ElementTree

from raconteur.train.ablate.plot import LABEL_PX, SCALE_PX, Dot, dots

SVG = "{http://www.w3.org/2000/svg}"


def test_dots_lie_on_a_scale_from_zero_to_the_highest_end():
    image = dots([Dot("own + a", 0.25, 0.1, 0.5), Dot("b", 0.5, 0.4, 0.5)], title="t")
    circles = ElementTree.fromstring(image).findall(f"{SVG}circle")
    assert [float(circle.get("cx")) for circle in circles] == [LABEL_PX + SCALE_PX / 2, LABEL_PX + SCALE_PX]


def test_dots_text_of_data_cannot_become_markup():
    image = dots([Dot("<script> & co", 0.1, 0.0, 0.2)], title="<b>", line=0.1)
    texts = [text.text for text in ElementTree.fromstring(image).findall(f"{SVG}text")]
    assert "<script> & co" in texts
    assert "<b>" in texts


def test_dots_without_rows_is_still_an_image():
    assert ElementTree.fromstring(dots([], title="empty")).tag == f"{SVG}svg"
