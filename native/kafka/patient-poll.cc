#include "kafka/patient-poll.h"

#if defined(__linux__) && defined(__LP64__)

#include <elf.h>
#include <link.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <mutex>

namespace mq::kafka {
namespace {

constexpr long kPatienceNs = 200'000;

/// The broker thread's question has two descriptors, its socket and what wakes it. While it has
/// something to write it asks for POLLOUT too, and is left alone.
int PatientPoll(pollfd* fds, nfds_t count, int timeout_ms) {
  const bool only_reads = count == 2 && fds[0].events == POLLIN && fds[1].events == POLLIN;
  if (timeout_ms != 0 || !only_reads) return poll(fds, count, timeout_ms);
  const timespec patience{0, kPatienceNs};
  return ppoll(fds, count, &patience, nullptr);
}

/// The parts of a loaded library that tell where its references to others are.
struct Dynamic {
  const char* names = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  /// Relocations of calls, and all others.
  const ElfW(Rela)* tables[2] = {nullptr, nullptr};
  size_t bytes[2] = {0, 0};
};

Dynamic DynamicOf(const dl_phdr_info& library) {
  Dynamic found;
  for (int i = 0; i < library.dlpi_phnum; i++) {
    const ElfW(Phdr)& segment = library.dlpi_phdr[i];
    if (segment.p_type != PT_DYNAMIC) continue;
    // Some loaders leave addresses as they stand in the file.
    const auto at = [&](ElfW(Addr) value) {
      return value < library.dlpi_addr ? value + library.dlpi_addr : value;
    };
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(library.dlpi_addr + segment.p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++) {
      const ElfW(Addr) address = at(entry->d_un.d_ptr);
      if (entry->d_tag == DT_STRTAB) found.names = reinterpret_cast<const char*>(address);
      if (entry->d_tag == DT_SYMTAB) found.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
      if (entry->d_tag == DT_JMPREL) found.tables[0] = reinterpret_cast<const ElfW(Rela)*>(address);
      if (entry->d_tag == DT_RELA) found.tables[1] = reinterpret_cast<const ElfW(Rela)*>(address);
      if (entry->d_tag == DT_PLTRELSZ) found.bytes[0] = entry->d_un.d_val;
      if (entry->d_tag == DT_RELASZ) found.bytes[1] = entry->d_un.d_val;
    }
  }
  return found;
}

/// The page of a reference is read-only where the library was linked to be bound at once.
void Replace(ElfW(Addr) slot) {
  const auto page = static_cast<ElfW(Addr)>(sysconf(_SC_PAGESIZE));
  void* start = reinterpret_cast<void*>(slot & ~(page - 1));
  if (mprotect(start, page, PROT_READ | PROT_WRITE) != 0) return;
  // Broker threads may be calling through it.
  reinterpret_cast<std::atomic<decltype(&PatientPoll)>*>(slot)->store(&PatientPoll);
}

int Visit(dl_phdr_info* library, size_t, void*) {
  if (strstr(library->dlpi_name, "librdkafka.so") == nullptr) return 0;
  const Dynamic dynamic = DynamicOf(*library);
  if (dynamic.names == nullptr || dynamic.symbols == nullptr) return 0;
  for (size_t table = 0; table < 2; table++) {
    const size_t count = dynamic.bytes[table] / sizeof(ElfW(Rela));
    for (size_t i = 0; dynamic.tables[table] != nullptr && i < count; i++) {
      const ElfW(Rela)& relocation = dynamic.tables[table][i];
      const size_t symbol = ELF64_R_SYM(relocation.r_info);
      if (symbol == 0 || strcmp(dynamic.names + dynamic.symbols[symbol].st_name, "poll") != 0)
        continue;
      Replace(library->dlpi_addr + relocation.r_offset);
    }
  }
  return 0;
}

}  // namespace

void MakePollPatient() {
  static std::once_flag once;
  std::call_once(once, [] { dl_iterate_phdr(Visit, nullptr); });
}

}  // namespace mq::kafka

#else

namespace mq::kafka {

void MakePollPatient() {}

}  // namespace mq::kafka

#endif
