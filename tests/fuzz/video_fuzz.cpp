/// \file Video files in five containers with five codecs → a data set, or a sentence that names the file. What libav itself makes of such bytes is fuzzed with it.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <memory>

#include "tests/fuzz/fuzz.hpp"
#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"

namespace {

using namespace zstar;

void expect(bool good, const char* what) {
  if (!good) throw std::logic_error(std::string("no video can be written: ") + what);
}

struct Free {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
  void operator()(AVFormatContext* context) const { avformat_free_context(context); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// What the encoder has ready goes into the file.
void drain(AVCodecContext* encoder, AVFormatContext* out) {
  const Owned<AVPacket> packet(av_packet_alloc());
  while (avcodec_receive_packet(encoder, packet.get()) == 0) {
    av_packet_rescale_ts(packet.get(), encoder->time_base, out->streams[0]->time_base);
    expect(av_write_frame(out, packet.get()) == 0, "packet");
  }
}

/// Three frames of 32 × 16 pixels, all zeros but one byte a frame; empty where libav lacks the codec.
std::string encoded(const char* container, AVCodecID id, AVPixelFormat pixels) {
  const AVCodec* codec = avcodec_find_encoder(id);
  if (!codec) return {};  // a libav without it
  const std::string file = fuzz::as_file(nullptr, 0).string() + ".seed";
  AVFormatContext* opened = nullptr;
  expect(avformat_alloc_output_context2(&opened, nullptr, container, file.c_str()) >= 0, container);
  const Owned<AVFormatContext> out(opened);
  const Owned<AVCodecContext> encoder(avcodec_alloc_context3(codec));
  encoder->width = 32, encoder->height = 16, encoder->pix_fmt = pixels, encoder->time_base = {1, 25}, encoder->color_range = AVCOL_RANGE_JPEG;
  encoder->thread_count = 1;
  if ((out->oformat->flags & AVFMT_GLOBALHEADER) != 0) encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  expect(avcodec_open2(encoder.get(), codec, nullptr) == 0, "encoder");
  AVStream* stream = avformat_new_stream(opened, nullptr);
  stream->time_base = encoder->time_base;
  expect(avcodec_parameters_from_context(stream->codecpar, encoder.get()) >= 0 && avio_open(&opened->pb, file.c_str(), AVIO_FLAG_WRITE) >= 0 && avformat_write_header(opened, nullptr) >= 0, "header");
  const Owned<AVFrame> frame(av_frame_alloc());
  frame->width = encoder->width, frame->height = encoder->height, frame->format = pixels;
  expect(av_frame_get_buffer(frame.get(), 0) == 0, "frame");
  for (int k = 0; k < 3; ++k) {
    expect(av_frame_make_writable(frame.get()) == 0, "frame");
    for (int plane = 0; plane < AV_NUM_DATA_POINTERS && frame->buf[plane]; ++plane) std::fill_n(frame->buf[plane]->data, frame->buf[plane]->size, std::uint8_t{0});
    frame->data[0][k] = 200, frame->pts = k;
    expect(avcodec_send_frame(encoder.get(), frame.get()) == 0, "frame");
    drain(encoder.get(), opened);
  }
  avcodec_send_frame(encoder.get(), nullptr);
  drain(encoder.get(), opened);
  expect(av_write_trailer(opened) == 0 && avio_closep(&opened->pb) == 0, "end");
  std::string bytes = fuzz::read_whole(file);
  std::filesystem::remove(file);
  return bytes;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const std::string frame = "FRAME\n" + std::string(32 * 16 * 3 / 2, 'x');
  std::vector<std::string> seeds{"YUV4MPEG2 W32 H16 F25:1 C420jpeg\n" + frame + frame, encoded("avi", AV_CODEC_ID_MJPEG, AV_PIX_FMT_YUVJ420P), encoded("mp4", AV_CODEC_ID_MPEG4, AV_PIX_FMT_YUV420P),
          encoded("matroska", AV_CODEC_ID_FFV1, AV_PIX_FMT_YUV420P), encoded("gif", AV_CODEC_ID_GIF, AV_PIX_FMT_RGB8)};
  std::erase(seeds, std::string());
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto& file = fuzz::as_file(data, size);
  try {
    const auto video = test::make<Dataset>(Kind::dataset, "video", {{"path", file.string()}, {"size", std::int64_t{8}}});
    video->load(Split::train, {0}, 1);
  } catch (const OptionError&) {
  } catch (const std::runtime_error& refusal) {
    if (std::string(refusal.what()).find(file.string()) == std::string::npos) throw;  // a refusal names its file
  }
  return 0;
}
