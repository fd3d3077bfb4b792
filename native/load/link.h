// A socket that has said HELLO, before it is watched: what sender and receiver share.
#pragma once
#include <arpa/inet.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "load/frame.h"

namespace mq::loadgen {

inline std::string Reason(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

inline bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 protected:
  bool Dial(const std::string& host, int port, std::string* error) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
      *error = "--host is an IPv4 address, not " + host;
      return false;
    }
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
      *error = Reason("socket");
      return false;
    }
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      *error = Reason(("connect to " + host + ":" + std::to_string(port)).c_str());
      return false;
    }
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return true;
  }

  bool Write(const std::vector<uint8_t>& bytes, std::string* error) {
    if (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size())) {
      return true;
    }
    *error = Reason("write");
    return false;
  }

  bool ReadAnswer(std::vector<uint8_t>* frame, std::string* error) {
    auto take = [this](uint8_t* to, size_t n) {
      while (n > 0) {
        const ssize_t got = read(fd_, to, n);
        if (got <= 0) return false;
        to += got;
        n -= static_cast<size_t>(got);
      }
      return true;
    };
    *error = "the node closed the connection";
    frame->resize(wire::kFrameHead);
    if (!take(frame->data(), frame->size())) return false;
    const uint32_t length = load_be32(frame->data());
    if (length < wire::kCountedHead || length > kFrameBytesMax) {
      *error = "the answer is not MQP";
      return false;
    }
    frame->resize(4 + length);
    return take(frame->data() + wire::kFrameHead, frame->size() - wire::kFrameHead);
  }

  bool Greet(const std::string& name, std::string* error) {
    // Not a flag: those of a program are there for all users of the machine to see.
    const char* variable = std::getenv("MQPROXY_TOKEN");
    const std::string token = variable == nullptr ? "" : variable;
    std::vector<uint8_t> hello;
    PutHeader(&hello, 4 + 2 + 2 + 8 + 2 + 8 + 1 + name.size() + 1 + 2 + token.size(), kHello, 0, 0,
              0);
    PutText(&hello, "MQP1");
    Put16(&hello, 1);
    Put16(&hello, 1);
    Put64(&hello, 0);  // the node gives a producer id
    Put16(&hello, 0);
    Put64(&hello, 0);
    hello.push_back(static_cast<uint8_t>(name.size()));
    PutText(&hello, name);
    hello.push_back(token.empty() ? 0 : 1);
    Put16(&hello, static_cast<uint16_t>(token.size()));
    PutText(&hello, token);
    std::vector<uint8_t> answer;
    if (!Write(hello, error) || !ReadAnswer(&answer, error)) return false;
    Refusal refusal;
    if (!ReadRefusal(answer.data(), answer.size(), &refusal)) return true;
    *error = refusal.text;
    return false;
  }

  void StopBlocking() { fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK); }

  int fd_ = -1;
};

}  // namespace mq::loadgen
