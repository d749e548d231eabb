// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// `xen_version`. Source: xen/include/public/version.h and features.h.
extension Processor {
  private enum VersionCommand: UInt64 {
    case version = 0
    case extraVersion = 1
    case compileInformation = 2
    case capabilities = 3
    case changeSet = 4
    case platformParameters = 5
    case features = 6
    case pageSize = 7
    case guestHandle = 8
    case commandLine = 9
  }

  func version(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    guard let command = VersionCommand(rawValue: command) else { throw .notImplemented }
    switch command {
    // Kernels also call this one to be told of pending events, which happens on every return.
    case .version: return Int64(XenVersion.number)
    case .extraVersion: try writeText(XenVersion.extra, byteCount: 16, to: address)
    case .compileInformation: try writeText("", byteCount: 144, to: address)
    case .capabilities: try writeText("xen-3.0-x86_64 ", byteCount: 1024, to: address)
    case .changeSet: try writeText("", byteCount: 64, to: address)
    case .platformParameters: try write(MonitorWindow.base, to: address)
    case .features:
      let submap = try argument(address, byteCount: 4).u32(0)
      guard submap == 0 else { throw .invalid }
      try write(features, to: address &+ 4)
    case .pageSize: return Int64(frameSize)
    case .guestHandle: try writeText("", byteCount: 16, to: address)
    case .commandLine: try writeText("", byteCount: 1024, to: address)
    }
    return 0
  }

  /// Writes a text into a field of a fixed size, filled up with zeros.
  private func writeText(_ text: String, byteCount: Int, to address: UInt64) throws(HypercallError) {
    var bytes = Array(text.utf8.prefix(byteCount))
    bytes += [UInt8](repeating: 0, count: byteCount - bytes.count)
    let result: Result<Void, HypercallError> = bytes.withUnsafeBytes { bytes in
      do throws(HypercallError) { return .success(try copyOut(bytes, to: address)) } catch {
        return .failure(error)
      }
    }
    try result.get()
  }
}
