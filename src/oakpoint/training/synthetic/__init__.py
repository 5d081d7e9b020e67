"""Drawn images whose corners are known by construction: shapes, boards, boxes, letters, lines, textures."""
