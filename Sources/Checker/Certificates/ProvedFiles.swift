// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Machines that were proved, and confirmed, as a whole: a file for each, from one run to the next.
///
/// A file is of one program, whose questions are always the same: what it says, it says without any of them being made
/// anew. Another program replaces it.
public struct ProvedFiles: Sendable {
  private let folder: String

  /// - Parameter folder: made if need be.
  public init(folder: String) {
    self.folder = folder
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  /// The certificate that was kept of a machine.
  /// - Parameter key: what it depends on.
  func certificate(of machine: String, under key: ContentHash) -> Certificate? {
    guard let data = FileManager.default.contents(atPath: path(machine)),
      let end = data.firstIndex(of: UInt8(ascii: "\n"))
    else { return nil }
    let kept = data[data.index(after: end)...]
    guard String(decoding: data[..<end], as: UTF8.self) == seal(kept, key) else { return nil }
    return try? JSONDecoder().decode(Certificate.self, from: kept)
  }

  /// Keeps the certificate of a machine; a file that cannot be written costs time on the next run and nothing else.
  func keep(_ certificate: Certificate, under key: ContentHash) {
    guard let data = try? certificate.encoded() else { return }
    let sealed = Data((seal(data, key) + "\n").utf8) + data
    try? sealed.write(to: URL(fileURLWithPath: path(certificate.machine)), options: .atomic)
  }

  private func path(_ machine: String) -> String { "\(folder)/\(machine).json" }

  /// Ties a file to what it depends on, so that a damaged one is not believed.
  private func seal(_ data: Data, _ key: ContentHash) -> String {
    ContentHash(of: "\(key)\n" + String(decoding: data, as: UTF8.self)).description
  }
}
