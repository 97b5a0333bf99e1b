// Lines of the control socket from a model.
#include "reader_campaign.hpp"

#include "quietcore/control_request.hpp"
#include "quietcore/error.hpp"

#include <array>
#include <gtest/gtest.h>

namespace quietcore::test {
namespace {

std::string read(const std::string &input) {
  try {
    const ControlRequest request = ControlRequest::parse(input);
    if (request.kind == ControlRequest::Kind::Status)
      return "status";
    return "switch " + std::to_string(request.leg) + " " + request.endpoint.websocket + " " +
           request.endpoint.rest;
  } catch (const Error &error) {
    const std::string words = error.what();
    const bool one_line = words.find('\n') == std::string::npos && words.size() < 400;
    return one_line && error.code() == ExitCode::Usage ? "refused" : "refused in " + words;
  }
}

std::string blanks(Random &random, bool needed) {
  std::string out = needed ? " " : "";
  for (std::uint64_t n = once_in(random, 3) ? below(random, 4) : 0; n-- > 0;)
    out += once_in(random, 2) ? ' ' : '\t';
  return out;
}

std::string trimmed(const std::string &input) { return input.substr(input.find_first_not_of(" \t")); }

Rendered render(Random &random) {
  static constexpr std::array<const char *, 4> kHosts{"stream.bybit.com", "127.0.0.1:8760", "[::1]:9",
                                                      "h/api/v1"};
  Rendered out;
  out.input = blanks(random, false);
  if (once_in(random, 4)) {
    out.input += "status";
    out.truth = "status";
  } else {
    const bool leg_b = once_in(random, 2);
    const std::string websocket =
        (once_in(random, 2) ? "wss://" : "ws://") + std::string(kHosts[below(random, kHosts.size())]);
    const std::string rest =
        once_in(random, 2) ? "" : "https://" + std::string(kHosts[below(random, kHosts.size())]);
    out.input += "switch" + blanks(random, true) + (leg_b ? "b" : "a") + blanks(random, true) + websocket;
    if (!rest.empty())
      out.input += blanks(random, true) + rest;
    out.truth = std::string("switch ") + (leg_b ? "1 " : "0 ") + websocket + " " + rest;
  }
  out.input += blanks(random, false);
  if (once_in(random, 5))
    out.input += '\r';
  return out;
}

Damage damaged(std::function<std::optional<std::string>(Random &, const std::string &)> apply) {
  return {std::move(apply), [](const std::string &answer) { return answer == "refused"; }};
}

TEST(ReaderCampaign, ControlRequests) {
  ReaderModel model;
  model.name = "control-request";
  model.render = render;
  model.read = read;
  const auto somewhere = [](Random &random, const std::string &input, const std::string &what) {
    std::string broken = input;
    broken.insert(below(random, broken.find_last_not_of(" \t\r") + 1), what);
    return std::optional(broken);
  };
  model.damages = {
      {"words too many", damaged([](Random &, const std::string &input) {
         return std::optional("switch a ws://h http://h " + input);
       })},
      {"an unknown word", damaged([](Random &random, const std::string &input) {
         return std::optional((once_in(random, 2) ? "x" : "stats ") + trimmed(input));
       })},
      {"a control character", damaged([=](Random &random, const std::string &input) {
         return somewhere(random, trimmed(input), once_in(random, 2) ? "\x1b" : "\x7f");
       })},
      {"a byte of another encoding", damaged([=](Random &random, const std::string &input) {
         return somewhere(random, trimmed(input), "\xff");
       })},
      {"no address", damaged([](Random &random, const std::string &) -> std::optional<std::string> {
         static constexpr std::array<const char *, 9> kBad{"switch",
                                                           "switch a",
                                                           "switch a host",
                                                           "switch c ws://h",
                                                           "switch a http://h",
                                                           "switch a ws://",
                                                           "switch a ws://h:0",
                                                           "switch b ws://h ws://h",
                                                           "switch a ws://h?x"};
         return kBad[below(random, kBad.size())];
       })},
      {"nothing", damaged([](Random &random, const std::string &) -> std::optional<std::string> {
         return std::string(below(random, 3), ' ');
       })},
  };
  model.planted = {{"leg b is taken for a",
                    [](const std::string &input) {
                      std::string answer = read(input);
                      if (answer.starts_with("switch 1"))
                        answer[7] = '0';
                      return answer;
                    }},
                   {"what follows status does not matter", [](const std::string &input) {
                      return input.find("status") != std::string::npos ? "status" : read(input);
                    }}};
  run_campaign(model);
}

} // namespace
} // namespace quietcore::test
