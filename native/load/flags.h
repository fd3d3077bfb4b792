// The command line of the generators: `--name value` for every flag, `--help` for the list.
#pragma once
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mq::loadgen {

class Flags {
 public:
  Flags(const char* program, const char* summary) : program_(program), summary_(summary) {}

  void Text(const char* name, std::string* to, const char* help) {
    Add(name, help, *to, [to](const char* text) {
      *to = text;
      return true;
    });
  }
  // A whole number from `least` to `most`.
  void Count(const char* name, int* to, int least, int most, const char* help) {
    Add(name, help, std::to_string(*to), [=](const char* text) {
      double value = 0;
      if (!Number(text, &value) || value != std::floor(value)) return false;
      if (value < least || value > most) return false;
      *to = static_cast<int>(value);
      return true;
    });
  }
  // Seconds, or messages a second: any number from 0.
  void Real(const char* name, double* to, const char* help) {
    char shown[32];
    std::snprintf(shown, sizeof shown, "%g", *to);
    Add(name, help, shown, [=](const char* text) { return Number(text, to) && *to >= 0; });
  }
  // One of two words.
  void Choice(const char* name, bool* to, const char* no, const char* yes, const char* help) {
    Add(name, help, *to ? yes : no, [=](const char* text) {
      *to = std::strcmp(text, yes) == 0;
      return *to || std::strcmp(text, no) == 0;
    });
  }
  void Add(const char* name, const char* help, std::string shown,
           std::function<bool(const char*)> take) {
    flags_.push_back({name, help, std::move(shown), std::move(take)});
  }

  // Exits with 0 after --help, and with 2 and a line on stderr for what is not understood.
  void Parse(int argc, char** argv) const {
    for (int i = 1; i < argc; i += 2) {
      if (std::strcmp(argv[i], "--help") == 0) Help();
      const Flag* flag = Find(argv[i]);
      if (flag == nullptr) Refuse("there is no flag", argv[i]);
      if (i + 1 == argc) Refuse("a value is missing for", argv[i]);
      if (!flag->take(argv[i + 1])) {
        std::fprintf(stderr, "%s: %s cannot be '%s' (%s)\n", program_, argv[i], argv[i + 1],
                     flag->help);
        std::exit(2);
      }
    }
  }

  [[noreturn]] void Refuse(const char* what, const char* value) const {
    std::fprintf(stderr, "%s: %s %s; see %s --help\n", program_, what, value, program_);
    std::exit(2);
  }

 private:
  struct Flag {
    const char* name;
    const char* help;
    std::string shown;
    std::function<bool(const char*)> take;
  };

  static bool Number(const char* text, double* value) {
    char* end = nullptr;
    *value = std::strtod(text, &end);
    return end != text && *end == '\0' && std::isfinite(*value);
  }

  const Flag* Find(const char* name) const {
    for (const Flag& flag : flags_) {
      if (std::strcmp(flag.name, name) == 0) return &flag;
    }
    return nullptr;
  }

  [[noreturn]] void Help() const {
    std::printf("%s: %s\n\n", program_, summary_);
    for (const Flag& flag : flags_) {
      std::printf("  %-14s %s (default %s)\n", flag.name, flag.help, flag.shown.c_str());
    }
    std::exit(0);
  }

  const char* program_;
  const char* summary_;
  std::vector<Flag> flags_;
};

}  // namespace mq::loadgen
