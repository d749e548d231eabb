// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What lies in Fuzz: the inputs of a fuzz target that tests replay.
public enum Corpus {
  private static let fuzz = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fuzz")

  /// The seeds of a fuzz target.
  /// - Parameter target: its folder's name.
  public static func seeds(of target: String) throws -> [(name: String, bytes: [UInt8])] {
    try inputs(target, "corpus")
  }

  /// The inputs that once found something in a fuzz target.
  public static func regressions(of target: String) throws -> [(name: String, bytes: [UInt8])] {
    try inputs(target, "regressions")
  }

  private static func inputs(_ target: String, _ folder: String) throws -> [(name: String, bytes: [UInt8])] {
    try FileManager.default.contentsOfDirectory(
      at: fuzz.appending(path: target).appending(path: folder), includingPropertiesForKeys: nil
    )
    .filter { !$0.lastPathComponent.hasPrefix(".") }
    .map { ("\(folder)/\($0.lastPathComponent)", [UInt8](try Data(contentsOf: $0))) }
  }
}
