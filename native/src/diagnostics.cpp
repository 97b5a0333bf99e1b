#include "quietcore/diagnostics.hpp"

#include "quietcore/clock.hpp"

#include <chrono>
#include <cstring>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <utility>

namespace quietcore {
namespace {

constexpr std::uint64_t kFirst = 5;
constexpr std::uint64_t kEveryNs = 10'000'000'000;
constexpr std::chrono::milliseconds kWriteEvery{1};
/// Text that is put together before it is written.
constexpr std::size_t kLargestText = std::size_t{64} << 10U;

} // namespace

Diagnostics::Diagnostics(std::FILE *out) : out_(out), thread_([this] { work(); }) {}

Diagnostics::~Diagnostics() {
  stopping_.store(true, std::memory_order_relaxed);
  thread_.join();
  flush();
}

void Diagnostics::work() {
  // Signals are for the receiving thread, which ends the process in order.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "qc-log");
  while (!stopping_.load(std::memory_order_relaxed)) {
    flush();
    std::this_thread::sleep_for(kWriteEvery);
  }
}

std::string Diagnostics::write_on(const std::vector<int> &cpus) {
  if (cpus.empty())
    return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus)
    CPU_SET(static_cast<std::size_t>(cpu), &set);
  const int error = pthread_setaffinity_np(thread_.native_handle(), sizeof(set), &set);
  return error == 0 ? "" : std::strerror(error);
}

void Diagnostics::report(Trouble kind, const Finding &finding) { leave(kind, finding.message()); }

void Diagnostics::say(const std::string &line) { leave(Trouble::Count, line); }

void Diagnostics::leave(Trouble kind, std::string text) {
  const std::scoped_lock lock(lines_guard_);
  if (lines_.size() >= kMostLines) {
    lines_dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  lines_.push_back({ring_.end(), kind, std::move(text)});
}

const char *Diagnostics::keep(std::string_view name) {
  const std::scoped_lock lock(names_guard_);
  auto at = names_.find(name);
  if (at == names_.end())
    at = names_.emplace(name).first;
  return at->c_str();
}

void Diagnostics::flush() {
  const std::scoped_lock lock(writing_);
  write_pass();
}

void Diagnostics::write_pass() {
  {
    const std::scoped_lock lock(lines_guard_);
    taken_lines_.swap(lines_);
  }
  // Read after the lines were taken, so that no record is missing that one of them comes after.
  const std::uint64_t end = ring_.end();
  now_ns_ = monotonic_ns();
  std::string note;
  auto line = taken_lines_.begin();
  const auto write_lines = [&](std::uint64_t upto) {
    for (; line != taken_lines_.end() && line->after <= upto; ++line) {
      if (line->kind == Trouble::Count)
        write_line(line->text);
      else if (shown(line->kind, note))
        write_trouble(line->kind, line->text, note);
    }
  };
  ring_.drain(end, [&](std::uint64_t number, const LogRecord &record) {
    write_lines(number);
    // Most of a flood is left out: words are only found for the rest.
    if (shown(record.kind, note))
      write_trouble(record.kind, record.finding().message(), note);
  });
  write_lines(UINT64_MAX);
  taken_lines_.clear();
  tell_dropped();
  write_text();
}

bool Diagnostics::shown(Trouble kind, std::string &note) {
  Account &account = accounts_[static_cast<std::size_t>(kind)];
  if (account.reported >= kFirst && now_ns_ - account.last_ns < kEveryNs) {
    ++account.left_out;
    return false;
  }
  note = account.left_out != 0 ? " (" + std::to_string(account.left_out) + " more like it since)" : "";
  return true;
}

void Diagnostics::write_trouble(Trouble kind, const std::string &text, const std::string &note) {
  Account &account = accounts_[static_cast<std::size_t>(kind)];
  account.left_out = 0;
  account.last_ns = now_ns_;
  const bool last_of_first = ++account.reported == kFirst;
  write_line(text + note + (last_of_first ? " (further ones are counted, and shown every 10 s)" : ""));
}

void Diagnostics::tell_dropped() {
  const std::uint64_t lost = dropped();
  Account &account = accounts_[static_cast<std::size_t>(Trouble::Log)];
  const bool last_chance = stopping_.load(std::memory_order_relaxed);
  if (lost == told_dropped_ ||
      (account.reported >= kFirst && now_ns_ - account.last_ns < kEveryNs && !last_chance))
    return;
  told_dropped_ = lost;
  write_trouble(Trouble::Log,
                Finding{.what = "lines of this log lost",
                        .where = "standard error",
                        .found = std::to_string(lost) + " so far, as the buffer of " +
                                 std::to_string(LogRing::kRecords) + " was full",
                        .expected = "a reader that keeps up",
                        .remedy = "see why it does not; the feed's statistics have counted what went wrong"}
                    .message(),
                "");
}

void Diagnostics::write_line(std::string_view text) {
  text_ += "quietcore-feed: ";
  for (const char c : text) // one line, whatever a venue's words hold
    text_ += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  text_ += '\n';
  if (text_.size() >= kLargestText)
    write_text();
}

void Diagnostics::write_text() {
  if (text_.empty())
    return;
  std::fwrite(text_.data(), 1, text_.size(), out_);
  std::fflush(out_);
  text_.clear();
}

} // namespace quietcore
