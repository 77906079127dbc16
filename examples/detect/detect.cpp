// detect.cpp - finds text in a picture and frames it.
//
//   examples/detect/setup.sh BUILD FOLDER            installs the model (PP-OCRv4's detector), compiles it and this program
//   FOLDER/detect IN.png OUT.png                     prints the boxes: x y width height, and how sure the model is
//   FOLDER/detect --map MAP IN.png OUT.png           also writes the model's output, and times it: see compare.py
//
// The model gives a probability for each pixel: that it belongs to the middle of a line of text.  Connected pixels above a
// threshold are a line, whose box grows by what its middle lacks (Liao et al., Real-time Scene Text Detection with
// Differentiable Binarization, 2020).
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dcc.hpp>
#include <fstream>
#include <png.h>
#include <stdexcept>
#include <string>
#include <vector>

#include "text.h"

static const int64_t Multiple = 32, Largest = 4096; // of the sides, in pixels
static const float Threshold = 0.3f, Sure = 0.5f, Growth = 1.6f;
static const int64_t Smallest = 3; // side of the middle of a line, in pixels
static const int Turns = 10;

struct Picture {
	int64_t width, height;
	std::vector<uint8_t> rgb;
	uint8_t *at(int64_t x, int64_t y) { return &rgb[static_cast<size_t>((y * width + x) * 3)]; }
	const uint8_t *at(int64_t x, int64_t y) const { return &rgb[static_cast<size_t>((y * width + x) * 3)]; }
};

struct Box { // pixels; the ends are not in it
	int64_t left, top, right, bottom;
	float score;
};

static std::runtime_error trouble(const std::string &path, const png_image &image)
{
	return std::runtime_error(path + ": " + image.message);
}

static Picture read_png(const std::string &path)
{
	png_image image;
	std::memset(&image, 0, sizeof image);
	image.version = PNG_IMAGE_VERSION;
	if (!png_image_begin_read_from_file(&image, path.c_str()))
		throw trouble(path, image);
	if (image.width > Largest || image.height > Largest) {
		png_image_free(&image);
		throw std::runtime_error(path + ": larger than " + std::to_string(Largest) + " pixels a side");
	}
	image.format = PNG_FORMAT_RGB;
	Picture p = {image.width, image.height, std::vector<uint8_t>(PNG_IMAGE_SIZE(image))};
	const png_color white = {255, 255, 255}; // behind what is transparent
	if (!png_image_finish_read(&image, &white, p.rgb.data(), 0, nullptr))
		throw trouble(path, image);
	return p;
}

static void write_png(const std::string &path, const Picture &p)
{
	png_image image;
	std::memset(&image, 0, sizeof image);
	image.version = PNG_IMAGE_VERSION;
	image.width = static_cast<png_uint_32>(p.width);
	image.height = static_cast<png_uint_32>(p.height);
	image.format = PNG_FORMAT_RGB;
	if (!png_image_write_to_file(&image, path.c_str(), 0, p.rgb.data(), 0, nullptr))
		throw trouble(path, image);
}

static int64_t round_up(int64_t n)
{
	return (n + Multiple - 1) / Multiple * Multiple;
}

// [1, 3, height, width] in [-1, 1], blue first; the last row and column go on up to a multiple of what the model divides by.
static std::vector<float> to_input(const Picture &p)
{
	int64_t height = round_up(p.height), width = round_up(p.width);
	std::vector<float> x;
	x.reserve(static_cast<size_t>(3 * height * width));
	for (int c = 2; c >= 0; c--)
		for (int64_t i = 0; i < height; i++)
			for (int64_t j = 0; j < width; j++)
				x.push_back(p.at(std::min(j, p.width - 1), std::min(i, p.height - 1))[c] / 127.5f - 1);
	return x;
}

// The line that pixel `start` of the map is in; its pixels become 0.
static Box take_line(std::vector<float> &map, int64_t width, size_t start)
{
	Box b = {INT64_MAX, INT64_MAX, 0, 0, 0};
	std::vector<size_t> todo(1, start);
	double sum = map[start];
	size_t count = 0;
	map[start] = 0;
	while (!todo.empty()) {
		size_t at = todo.back();
		int64_t x = static_cast<int64_t>(at) % width, y = static_cast<int64_t>(at) / width;
		todo.pop_back();
		count++;
		b.left = std::min(b.left, x);
		b.top = std::min(b.top, y);
		b.right = std::max(b.right, x + 1);
		b.bottom = std::max(b.bottom, y + 1);
		const int64_t next[4][2] = {{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}};
		for (const int64_t *n : next) {
			size_t to = static_cast<size_t>(n[1] * width + n[0]);
			if (n[0] < 0 || n[0] >= width || n[1] < 0 || to >= map.size() || map[to] <= Threshold)
				continue;
			sum += map[to];
			map[to] = 0;
			todo.push_back(to);
		}
	}
	b.score = static_cast<float>(sum / static_cast<double>(count));
	return b;
}

// Lines of text, from the top; within the picture.
static std::vector<Box> find_lines(std::vector<float> map, int64_t map_width, const Picture &p)
{
	std::vector<Box> found;
	for (size_t i = 0; i < map.size(); i++) {
		if (map[i] <= Threshold)
			continue;
		Box b = take_line(map, map_width, i);
		int64_t width = b.right - b.left, height = b.bottom - b.top;
		if (b.score < Sure || width < Smallest || height < Smallest)
			continue;
		int64_t grow = static_cast<int64_t>(Growth * static_cast<float>(width * height) / static_cast<float>(2 * (width + height)));
		b.left = std::max<int64_t>(b.left - grow, 0);
		b.top = std::max<int64_t>(b.top - grow, 0);
		b.right = std::min(b.right + grow, p.width);
		b.bottom = std::min(b.bottom + grow, p.height);
		if (b.left < b.right && b.top < b.bottom)
			found.push_back(b);
	}
	return found;
}

static void draw_frame(Picture &p, const Box &b)
{
	static const int64_t Thick = 2;
	static const uint8_t colour[] = {213, 94, 0};
	for (int64_t y = b.top; y < b.bottom; y++)
		for (int64_t x = b.left; x < b.right; x++)
			if (x < b.left + Thick || x >= b.right - Thick || y < b.top + Thick || y >= b.bottom - Thick)
				std::copy(colour, colour + 3, p.at(x, y));
}

// Writes the map as it is: f32, row by row.  Says the least time of a run.
static void record(dcc::model &model, const std::vector<dcc::tensor> &inputs, const dcc::tensor &map, const std::string &path)
{
	std::ofstream file(path, std::ios::binary);
	file.write(static_cast<const char *>(map.data), static_cast<std::streamsize>(map.size() * sizeof(float)));
	if (!file.flush())
		throw std::runtime_error(path + ": cannot be written");
	double least = 1e9;
	for (int i = 0; i < Turns; i++) {
		auto start = std::chrono::steady_clock::now();
		model(inputs);
		std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
		least = std::min(least, spent.count());
	}
	std::fprintf(stderr, "the model takes %.2f ms at least\n", least);
}

int main(int argc, char **argv)
{
	bool recorded = argc == 5 && !std::strcmp(argv[1], "--map");
	if (argc != 3 + 2 * recorded) {
		std::fputs("usage: detect [--map MAP] IN.png OUT.png\n", stderr);
		return 1;
	}
	try {
		Picture picture = read_png(argv[argc - 2]);
		std::vector<float> x = to_input(picture);
		int64_t height = round_up(picture.height), width = round_up(picture.width);
		dcc::model model(text_model);
		std::vector<dcc::tensor> inputs = {dcc::tensor(x.data(), {1, 3, height, width})};
		dcc::tensor map = model(inputs)[0]; // [1, 1, height, width]
		dcc::span<float> p = map.as<float>();
		for (const Box &b : find_lines(std::vector<float>(p.begin(), p.end()), width, picture)) {
			std::printf("%4d %4d %4d %4d  %.3f\n", static_cast<int>(b.left), static_cast<int>(b.top),
				    static_cast<int>(b.right - b.left), static_cast<int>(b.bottom - b.top), static_cast<double>(b.score));
			draw_frame(picture, b);
		}
		write_png(argv[argc - 1], picture);
		if (recorded)
			record(model, inputs, map, argv[2]);
	} catch (const std::exception &e) {
		std::fflush(stdout);
		std::fprintf(stderr, "detect: %s\n", e.what());
		return 1;
	}
	return std::fflush(stdout) ? 1 : 0;
}
