#include "wire/mux_fuzz.h"

#include "wire/mux_test_support.h"

namespace nv::wire {
namespace {

bool FuzzHost(std::string_view bytes, bool answer) {
  HandMadeGuest guest;
  const base::UniqueFd stream = guest.host->Dial(6000).value();
  if (answer) WriteText(guest.port.get(), EncodeFrame(FrameType::kResetAck, 0, guest.nonce));
  // The host may end, and close its port, before it has taken all.
  static_cast<void>(base::WriteAll(guest.port.get(), bytes, Soon()));
  guest.port.Reset();
  static_cast<void>(ReadToEnd(stream.get()));
  return Until([&] { return !guest.host->EndReason().empty(); });
}

bool FuzzGuest(std::string_view bytes) {
  base::FdPair pair = base::MakeSocketPair(SOCK_STREAM).value();
  Accepted accepted;
  const auto guest =
      Mux::Start(Mux::Role::kGuest, std::move(pair.second), accepted.Handler()).value();
  const std::string reset = EncodeFrame(FrameType::kReset, 0, std::string(kNonceBytes, 'f'));
  WriteText(pair.first.get(), reset);
  WriteText(pair.first.get(), bytes);
  // Whatever it was, a new host is served.
  std::jthread drain([fd = pair.first.get()] { static_cast<void>(ReadToEnd(fd)); });
  base::UniqueFd again(::dup(pair.first.get()));
  WriteText(again.get(), std::string(kMaxPayload + 2 * kHeaderBytes, '\0') + reset +
                             EncodeFrame(FrameType::kOpen, 1, EncodeNumber(4242)));
  while (accepted.Next().first != 4242) {
    if (::testing::Test::HasFailure()) break;
  }
  ::shutdown(again.get(), SHUT_RDWR);
  return true;
}

}  // namespace

bool FuzzMux(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return true;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  return data[0] % 3 == 0 ? FuzzGuest(bytes) : FuzzHost(bytes, data[0] % 3 == 1);
}

}  // namespace nv::wire
