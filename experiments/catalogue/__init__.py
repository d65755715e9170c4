"""What the catalogue's fabrics are held against: published measurements."""
