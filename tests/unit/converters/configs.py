"""Labelling configurations the converter tests share."""

from converters.label_studio.config.label_config import parse_label_config

XML = """
<View>
  <Header value="Draw the vessel"/>
  <Image name="image" value="$image" zoom="true"/>
  <View style="display: flex">
    <PolygonLabels name="label" toName="image" strokeWidth="2">
      <Label value="lumen" background="#ff5277"/>
      <Label value="wall" background="rgb(0, 158, 255)"/>
    </PolygonLabels>
  </View>
  <Choices name="quality" toName="image"><Choice value="good"/></Choices>
</View>
"""
CONFIG = parse_label_config(XML)
