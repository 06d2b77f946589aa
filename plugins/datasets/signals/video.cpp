/// \file The frames of a video file as a signal, decoded by libav. Layout: README.md.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

#include <optional>

#include "frames.hpp"

namespace {

using namespace zstar_signals;

/// One stream of pictures, frame by frame.
class Decoder {
 public:
  explicit Decoder(const std::string& file) : file_(file) {
    av_log_set_level(AV_LOG_QUIET);  // what is wrong is said here
    if (const int code = avformat_open_input(&format_, file.c_str(), nullptr, nullptr); code < 0) fail("cannot be read as a video", code);
    if (std::string_view(format_->iformat->name) == "tty") fail("is a text, which libav would draw letter by letter", AVERROR_INVALIDDATA);
    if (const int code = avformat_find_stream_info(format_, nullptr); code < 0) fail("is a damaged video", code);
    const AVCodec* codec = nullptr;
    stream_ = av_find_best_stream(format_, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (stream_ < 0) fail("has no pictures that libav can decode", stream_);
    context_ = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(context_, format_->streams[stream_]->codecpar);
    context_->thread_count = 1;
    context_->max_pixels = std::int64_t{1} << 26;  // of a frame, twice those of 8K; a damaged header asks for more
    if (const int code = avcodec_open2(context_, codec, nullptr); code < 0) fail("cannot be decoded", code);
    packet_ = av_packet_alloc(), frame_ = av_frame_alloc();
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { release(); }

  /// Bytes [H, W, 3]; undefined behind the last frame.
  Tensor next() {
    while (true) {
      const int received = avcodec_receive_frame(context_, frame_);
      if (received == 0 && (frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0)) fail("is damaged", AVERROR_INVALIDDATA);  // concealed by the decoder
      if (received == 0) return pixels();
      if (received == AVERROR_EOF) return {};
      if (received != AVERROR(EAGAIN)) fail("is damaged", received);
      int read = 0;
      while ((read = av_read_frame(format_, packet_)) >= 0 && packet_->stream_index != stream_) av_packet_unref(packet_);
      if (read < 0 && read != AVERROR_EOF) fail("is damaged or cut short", read);
      if (read >= 0 && (packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) fail("is damaged or cut short", AVERROR_INVALIDDATA);
      const int sent = avcodec_send_packet(context_, read < 0 ? nullptr : packet_);  // null: no more will come
      av_packet_unref(packet_);
      if (sent < 0 && sent != AVERROR_EOF) fail("is damaged", sent);
    }
  }

 private:
  Tensor pixels() {
    scale_ = sws_getCachedContext(scale_, frame_->width, frame_->height, static_cast<AVPixelFormat>(frame_->format), frame_->width, frame_->height, AV_PIX_FMT_RGB24, SWS_BILINEAR,
                                  nullptr, nullptr, nullptr);
    if (!scale_) fail("has pictures of an unknown format", AVERROR(EINVAL));
    const std::int64_t height = frame_->height, width = 3 * frame_->width, row = (3 * ((frame_->width + 7) / 8 * 8) + 63) / 64 * 64;  // libswscale writes groups of 8 pixels, over the end of a row, or leaves them out
    const Tensor out = torch::empty({height + 1, row}, torch::kUInt8);
    std::uint8_t* rows[4] = {out.data_ptr<std::uint8_t>()};  // libswscale reads four planes, whatever the format has
    const int stride[4] = {static_cast<int>(row)};
    if (const int lines = sws_scale(scale_, frame_->data, frame_->linesize, 0, frame_->height, rows, stride); lines != frame_->height) fail("has pictures that cannot be converted", lines);
    return out.narrow(0, 0, height).narrow(1, 0, width).reshape({height, -1, 3});
  }

  [[noreturn]] void fail(const std::string& what, int code) {
    char words[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, words, sizeof words);
    release();  // of a constructor that throws nobody else does
    damaged(file_, what + ": " + words);
  }
  void release() {
    av_frame_free(&frame_), av_packet_free(&packet_), avcodec_free_context(&context_), avformat_close_input(&format_), sws_freeContext(scale_);
    scale_ = nullptr;
  }

  std::string file_;
  AVFormatContext* format_ = nullptr;
  AVCodecContext* context_ = nullptr;
  AVPacket* packet_ = nullptr;
  AVFrame* frame_ = nullptr;
  SwsContext* scale_ = nullptr;
  int stream_ = -1;
};

class Video final : public Points {
 public:
  struct Options : SignalOptions {
    std::int64_t size = 0, channels = 0, first = 0;
    std::optional<std::int64_t> frames;
  };
  static auto options() {
    return std::tuple_cat(signal_options<Options>("a video file (whatever libav decodes)"),
                          std::tuple{zstar::opt("size", &Options::size, "the middle square of each frame is averaged to this; 0: as the file is", zstar::at_least(0), "pixels"),
                                     zstar::opt("channels", &Options::channels, "1: grey, 3 or 0: colour", zstar::within(0, 3)),
                                     zstar::opt("first", &Options::first, "frames left out at the beginning", zstar::at_least(0)),
                                     zstar::opt("frames", &Options::frames, "so many frames from there on; 0: all; unset: 16, or as many as there are", zstar::at_least(0))});
  }
  Video(const Options& o, zstar::Host&) : Points(o) {
    if (o.path.empty()) throw OptionError("path", "path is not set; name the file of the video: --set dataset.path=FILE");
    expect_channels(o.channels);
    Decoder decoder(o.path);
    const std::int64_t wanted = o.frames.value_or(16);
    std::vector<Tensor> frames;
    std::int64_t number = 0;
    for (Tensor frame = decoder.next(); frame.defined() && (wanted == 0 || static_cast<std::int64_t>(frames.size()) < wanted); frame = decoder.next()) {
      if (number++ < o.first) continue;
      frames.push_back(fitted(frame, o.size, o.channels));
      if (frames.back().sizes() != frames[0].sizes()) damaged(o.path, "changes the size of its pictures at frame " + std::to_string(number));
    }
    if (frames.empty()) throw OptionError("first", o.path + " has " + std::to_string(number) + " frames, so that none is left");
    if (o.frames.value_or(0) > static_cast<std::int64_t>(frames.size()))
      throw OptionError("frames", o.path + " has " + std::to_string(frames.size()) + " frames from there on, frames = " + std::to_string(wanted) + " asks for more; 0 takes all");
    set(torch::stack(frames), /*columns_first=*/false);
  }

  std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const override {
    return write_frames(on_grid(split, predictions), folder);
  }
};

}  // namespace

ZSTAR_PLUGIN("zstar.video", "0.1.0", "frames of a video file as points of a function")
ZSTAR_DATASET(Video, "video", "the pixels of the frames of a video file (libav)")
