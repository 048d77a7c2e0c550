"""The side that napari sees: reader, writer, sample data, the dock. Only here is Qt used."""
