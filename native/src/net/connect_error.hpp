#pragma once

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace quietcore {

/// Why a connection did not come to be. Where no socket could be opened (EMFILE, ENFILE, ENOBUFS, ENOMEM)
/// Asio says only that the operation was cancelled: opening one again tells.
template <typename Executor>
[[nodiscard]] boost::system::error_code connect_error(const Executor &executor,
                                                      boost::system::error_code error) {
  if (error != boost::asio::error::operation_aborted)
    return error;
  boost::asio::ip::tcp::socket probe(executor);
  boost::system::error_code why;
  probe.open(boost::asio::ip::tcp::v4(), why);
  return why ? why : error;
}

} // namespace quietcore
