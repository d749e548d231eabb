// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devices
import Glibc
import Toolstack

/// `lockstep console`: one more terminal of a running domain.
struct ConsoleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Attach this terminal to a running domain's console; Ctrl-] detaches.",
    discussion: "What the guest writes from now on is shown here as well; all who type reach it.")
  @OptionGroup var domain: DomainArgument

  func run() throws {
    let client: ControlClient
    do {
      client = try ControlClient(domain.name)
      _ = try client.ask(.console)
    } catch {
      throw CouldNotRun(error.description)
    }
    client.waitForever()
    let isTerminal = isatty(STDIN_FILENO) == 1
    if isTerminal { RawTerminal.enter(STDIN_FILENO) }
    defer { RawTerminal.restore() }
    Self.carry(client.descriptor, escape: isTerminal ? ConsoleStreams.controlBracket : nil)
  }

  /// Carries bytes until the user detaches or the domain ends; input that ends leaves output going.
  private static func carry(_ socket: Int32, escape: UInt8?) {
    var waiting = [STDIN_FILENO, socket].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      guard poll(&waiting, 2, -1) > 0 else { continue }
      if waiting[0].revents != 0 {
        let count = max(0, read(STDIN_FILENO, &buffer, buffer.count))
        let typed = buffer[..<count]
        let end = escape.flatMap { typed.firstIndex(of: $0) }
        guard writeAll(typed[..<(end ?? count)], to: socket), end == nil else { return }
        if count == 0 { waiting[0].fd = -1 }
      }
      if waiting[1].revents != 0 {
        let count = read(socket, &buffer, buffer.count)
        guard count > 0, writeAll(buffer[..<count], to: STDOUT_FILENO) else { return }
      }
    }
  }

  private static func writeAll(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}
