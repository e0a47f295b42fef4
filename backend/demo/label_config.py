"""The demo's labelling interface."""

from __future__ import annotations

LABEL_CONFIG = """\
<View>
  <Header value="Outline the artery: first the whole vessel as wall, then the lumen over it."/>
  <Image name="image" value="$image" zoom="true" zoomControl="true" brightnessControl="true"/>
  <PolygonLabels name="label" toName="image" strokeWidth="2" pointSize="small" opacity="0.4">
    <Label value="lumen" background="#2A9DF4" hotkey="1"/>
    <Label value="wall" background="#F4A261" hotkey="2"/>
  </PolygonLabels>
</View>
"""
"""XML for Label Studio; in document order ``lumen`` is class 1 and ``wall`` class 2."""
