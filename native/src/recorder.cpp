#include "quietcore/recorder.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/error.hpp"
#include "quietcore/pcap.hpp"
#include "quietcore/zstd_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

namespace quietcore {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLookEvery{10};
constexpr std::chrono::milliseconds kFrame{500};
constexpr std::size_t kLargestFrame = std::size_t{8} << 20U;
constexpr std::chrono::seconds kTryAgain{1};

using Form = RecorderConfig::Form;

const char *ending(Form form) { return form == Form::Lines ? ".jsonl.zst" : ".pcap.zst"; }

/// What stands in a file where messages are missing.
std::string missing_mark(Form form, std::uint64_t count, const char *why) {
  const std::string text = "# " + std::to_string(count) + " messages are missing here: " + why;
  return form == Form::Lines ? text + "\n" : pcap::remark(realtime_ns(), text);
}

std::string time_name() {
  const std::int64_t now = realtime_ns();
  const std::time_t seconds = now / 1'000'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%S", &utc);
  std::snprintf(text.data() + size, text.size() - size, ".%03dZ", static_cast<int>(now / 1'000'000 % 1000));
  return text.data();
}

} // namespace

/// One leg's files.
class Recorder::Stream {
public:
  Stream(Recorder &owner, char letter) : owner_(owner), letter_(letter) {}

  void add(const BufferedMessage &message) {
    if (message.dropped_before != 0)
      mark(message.dropped_before, "the buffer was full");
    if (owner_.config_.form == Form::Packets) {
      text_ = pcap::record_head(message.receive_ns, message.bytes.size());
      text_ += message.bytes;
    } else {
      text_.clear();
      text_ += std::to_string(message.receive_ns);
      text_ += ' ';
      text_ += message.bytes;
      std::replace_if(text_.begin(), text_.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
      text_ += '\n';
    }
    if (!add_line()) {
      ++missing_;
      owner_.lost_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    ++in_frame_;
    if (file_->pending() > kLargestFrame)
      finish_frame();
  }

  void mark(std::uint64_t count, const char *why) {
    text_ = missing_mark(owner_.config_.form, count, why);
    if (!add_line())
      missing_ += count;
  }

  /// Twice a second.
  void finish_frame() {
    if (!file_ || file_->pending() == 0)
      return;
    if (file_->finish_frame()) {
      in_frame_ = 0;
      trouble_ = false;
      if (file_->size() >= owner_.config_.rotate_bytes ||
          Clock::now() - opened_ >= owner_.config_.rotate_after)
        file_.reset();
      return;
    }
    fail(file_->path(), std::strerror(file_->error()));
  }

private:
  [[nodiscard]] bool add_line() {
    if (!file_ && !open())
      return false;
    file_->add(text_);
    return true;
  }

  bool open() {
    if (trouble_ && Clock::now() < try_again_)
      return false;
    const std::string path = owner_.config_.folder + "/" + owner_.feed_ + "-" + letter_ + "-" + time_name() +
                             ending(owner_.config_.form);
    const std::string line = std::exchange(text_, {});
    try {
      file_.emplace(path);
    } catch (const Error &error) {
      text_ = line;
      fail(path, error.what());
      return false;
    }
    opened_ = Clock::now();
    owner_.forget_oldest();
    if (owner_.config_.form == Form::Packets)
      file_->add(pcap::file_head());
    if (const std::uint64_t missing = std::exchange(missing_, 0); missing != 0)
      file_->add(missing_mark(owner_.config_.form, missing, "the disk was full or failed"));
    text_ = line;
    return true;
  }

  void fail(const std::string &path, const std::string &why) {
    missing_ += in_frame_;
    owner_.lost_.fetch_add(in_frame_, std::memory_order_relaxed);
    in_frame_ = 0;
    if (!trouble_)
      owner_.say_("recording interrupted: " + path + "; found " + why +
                  "; remedy: free space on that disk; it is tried again every second, the feed goes on");
    trouble_ = true;
    try_again_ = Clock::now() + kTryAgain;
    file_.reset();
  }

  Recorder &owner_;
  char letter_;
  std::optional<ZstdFile> file_{};
  std::string text_{};
  std::uint64_t in_frame_ = 0; ///< messages of the frame under way
  std::uint64_t missing_ = 0;  ///< lost, and not yet marked
  bool trouble_ = false;
  Clock::time_point try_again_{};
  Clock::time_point opened_{};
};

Recorder::Recorder(RecorderConfig config, std::string feed, Say say)
    : config_(std::move(config)), feed_(std::move(feed)), say_(std::move(say)), buffer_(config_.buffer) {
  const std::string probe = config_.folder + "/." + feed_ + "-probe-" + time_name();
  (void)ZstdFile(probe); // refuses now what it would refuse later
  std::error_code ignored;
  fs::remove(probe, ignored);
  thread_ = std::thread([this] { work(); });
}

Recorder::~Recorder() {
  untold_ = buffer_.untold_drops();
  stop_.store(true, std::memory_order_release);
  thread_.join();
}

Recorder::Stream &Recorder::stream(std::uint32_t leg) {
  while (streams_.size() <= leg)
    streams_.push_back(std::make_unique<Stream>(*this, static_cast<char>('a' + streams_.size())));
  return *streams_[leg];
}

void Recorder::work() {
  // Signals are for the receiving thread, which ends the process in order.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "qc-recorder");
  if (!config_.cpus.empty()) {
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    for (const int cpu : config_.cpus)
      CPU_SET(static_cast<std::size_t>(cpu), &wanted);
    if (sched_setaffinity(0, sizeof(wanted), &wanted) != 0)
      say_("warning: the recorder's thread is not on its cores: " + std::string(std::strerror(errno)));
  }
  while (!stop_.load(std::memory_order_acquire)) {
    if (!drain())
      std::this_thread::sleep_for(kLookEvery);
    tend();
  }
  while (drain()) {
  }
  if (untold_ != 0)
    stream(0).mark(untold_, "the buffer was full");
  for (const auto &each : streams_)
    each->finish_frame();
}

bool Recorder::drain() {
  BufferedMessage message;
  bool any = false;
  // In portions, so that a frame ends in time however fast messages come.
  for (int portion = 0; portion < 4096 && buffer_.front(message); ++portion) {
    stream(message.stream).add(message);
    buffer_.pop();
    any = true;
  }
  return any;
}

void Recorder::tend() {
  const Clock::time_point now = Clock::now();
  if (now - tended_ < kFrame)
    return;
  tended_ = now;
  for (const auto &each : streams_)
    each->finish_frame();
}

void Recorder::forget_oldest() {
  if (config_.keep_bytes == 0)
    return;
  std::error_code ignored;
  std::vector<std::pair<std::string, std::uint64_t>> files; // the time is in the name
  for (const fs::directory_entry &entry : fs::directory_iterator(config_.folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::size_t time = feed_.size() + 3; // FEED-a-TIME
    if (name.size() > time && name.starts_with(feed_ + "-") && name[time - 1] == '-' && name[time] >= '0' &&
        name[time] <= '9' && name.ends_with(ending(config_.form)))
      files.emplace_back(name.substr(time) + "/" + entry.path().string(), entry.file_size(ignored));
  }
  std::sort(files.begin(), files.end());
  std::uint64_t total = 0;
  for (const auto &file : files)
    total += file.second;
  for (std::size_t i = 0; i + 1 < files.size() && total > config_.keep_bytes; ++i) {
    const std::string path = files[i].first.substr(files[i].first.find('/') + 1);
    if (fs::remove(path, ignored))
      say_("recording removed, as there are more than recorder.keep allows: " + path);
    total -= files[i].second;
  }
}

} // namespace quietcore
