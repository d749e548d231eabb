// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Of a connection, what goes in one direction.
private let amount = 8 << 20

private enum Request: UInt8 {
  /// Each byte is sent back.
  case echo
  /// `amount` is sent.
  case download
  /// `amount` is taken, then a byte sent.
  case upload
}

/// A TCP socket that is connected, or takes connections.
private struct Socket {
  let descriptor: CInt

  init() {
    descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    require(descriptor >= 0, "socket")
  }

  private init(accepted: CInt) {
    descriptor = accepted
    sendAtOnce()
  }

  /// No small packet waits for others.
  private func sendAtOnce() {
    var yes: CInt = 1
    setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
  }

  private static func withAddress(
    _ address: in_addr_t, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
  ) -> CInt {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_addr.s_addr = address
    name.sin_port = port.bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
    }
  }

  func connect(to address: String, port: UInt16) {
    let result = Self.withAddress(inet_addr(address), port) { Glibc.connect(descriptor, $0, $1) }
    require(result == 0, "connect to \(address):\(port)")
    sendAtOnce()
  }

  /// Takes connections to an address, at a port that the system chooses and that is returned.
  func listen(at address: String) -> UInt16 {
    let bound = Self.withAddress(inet_addr(address), 0) { bind(descriptor, $0, $1) }
    require(bound == 0 && Glibc.listen(descriptor, 1) == 0, "listen")
    var name = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
    }
    require(result == 0, "getsockname")
    return UInt16(bigEndian: name.sin_port)
  }

  func accept() -> Socket? {
    let accepted = Glibc.accept(descriptor, nil, nil)
    return accepted < 0 ? nil : Socket(accepted: accepted)
  }

  func close() { _ = Glibc.close(descriptor) }

  func send(_ byte: UInt8) -> Bool {
    var byte = byte
    return write(descriptor, &byte, 1) == 1
  }

  func receive() -> UInt8? {
    var byte: UInt8 = 0
    return read(descriptor, &byte, 1) == 1 ? byte : nil
  }

  func sendAmount() -> Bool { moveAmount { write(descriptor, $0, $1) } }
  func receiveAmount() -> Bool { moveAmount { read(descriptor, $0, $1) } }

  private func moveAmount(_ move: (UnsafeMutableRawPointer, Int) -> Int) -> Bool {
    var buffer = [UInt8](repeating: 0x5a, count: 1 << 16)
    var rest = amount
    while rest > 0 {
      let count = buffer.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.map { move($0, min(bytes.count, rest)) } ?? 0
      }
      guard count > 0 else { return false }
      rest -= count
    }
    return true
  }
}

/// Times what passes between this program and one that `serve`s.
/// - Parameter prefix: of the operations' names.
func timeNetwork(_ address: String, port: UInt16, prefix: String) {
  let socket = Socket()
  socket.connect(to: address, port: port)
  func ask(_ request: Request) { require(socket.send(request.rawValue), "send") }
  time("\(prefix)round-trip") {
    ask(.echo)
    require(socket.receive() != nil, "round trip")
  }
  time("\(prefix)download", count: amount >> 20) {
    ask(.download)
    require(socket.receiveAmount(), "download")
  }
  time("\(prefix)upload", count: amount >> 20) {
    ask(.upload)
    require(socket.sendAmount() && socket.receive() != nil, "upload")
  }
  socket.close()
}

/// Does what others ask for, one after the other, without end; first says at which port.
func serve(at address: String) {
  signal(SIGPIPE, SIG_IGN)
  let door = Socket()
  say("port \(door.listen(at: address))")
  while let guest = door.accept() {
    var isWell = true
    while isWell, let request = guest.receive().flatMap(Request.init) {
      isWell =
        switch request {
        case .echo: guest.send(request.rawValue)
        case .download: guest.sendAmount()
        case .upload: guest.receiveAmount() && guest.send(request.rawValue)
        }
    }
    guest.close()
  }
}
