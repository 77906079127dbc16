#!/usr/bin/env python3
"""Draws a picture with text of several sizes and colours on an uneven ground, to have something to detect.  Takes Pillow.

    draw.py OUT.png
"""

import math
import sys

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 640, 400
TEXTS = [  # x, y, size, colour, text
    (40, 30, 54, (250, 240, 200), "HARBOUR CAFE"),
    (46, 100, 24, (230, 230, 230), "breakfast from seven"),
    (60, 170, 20, (30, 30, 40), "Espresso"), (270, 170, 20, (30, 30, 40), "2.40"),
    (60, 205, 20, (30, 30, 40), "Apple cake"), (270, 205, 20, (30, 30, 40), "3.80"),
    (60, 240, 20, (30, 30, 40), "Fish soup"), (270, 240, 20, (30, 30, 40), "7.50"),
    (430, 190, 40, (255, 255, 255), "OPEN"),
    (40, 350, 14, (210, 220, 230), "please leave dogs and umbrellas at the door"),
]  # fmt: skip


def main():
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            wave = int(12 * math.sin(x / 23) * math.sin(y / 17))
            picture.putpixel((x, y), (40 + wave + y // 12, 70 + wave, 95 + wave + x // 16))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((40, 150, 350, 285), 12, fill=(225, 215, 190))
    draw.ellipse((400, 150, 580, 270), fill=(170, 40, 50))
    for x, y, size, colour, text in TEXTS:
        draw.text((x, y), text, fill=colour, font=ImageFont.load_default(size))
    picture.save(sys.argv[1])


if __name__ == "__main__":
    main()
