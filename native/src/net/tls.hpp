#pragma once

#include "quietcore/error.hpp"
#include "quietcore/http_client.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl.hpp>
#include <memory>
#include <string>

namespace quietcore {

/// TLS 1.2 or later, trusting the system's authorities and the extra one. Throws Error.
[[nodiscard]] inline std::shared_ptr<boost::asio::ssl::context> make_tls_context(const TlsTrust &trust) {
  namespace ssl = boost::asio::ssl;
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  boost::system::error_code error;
  context->set_default_verify_paths(error);
  if (!trust.extra_ca.empty()) {
    context->load_verify_file(trust.extra_ca, error);
    if (error)
      throw Error({.what = "certificate authority not usable",
                   .where = trust.extra_ca,
                   .found = error.message(),
                   .expected = "a PEM file with CA certificates",
                   .remedy = "correct tls_ca (--tls-ca)"});
  }
  context->set_verify_mode(ssl::verify_peer);
  return context;
}

/// Asks for the server's name and makes sure that its certificate is for it. False where OpenSSL refuses.
template <typename Stream> [[nodiscard]] bool expect_host(Stream &stream, const std::string &host) {
  stream.set_verify_callback(boost::asio::ssl::host_name_verification(host));
  boost::system::error_code not_an_address;
  boost::asio::ip::make_address(host, not_an_address);
  // No server name for bare addresses (RFC 6066).
  return !not_an_address || SSL_set_tlsext_host_name(stream.native_handle(), host.c_str()) == 1;
}

} // namespace quietcore
