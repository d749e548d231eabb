// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

/// Where a package's files lie: sites name a module and a file, whoever shows them needs a path.
public struct SourceTree: Sendable {
  /// By "Module/File.swift".
  private let paths: [String: String]

  /// Looks through the folders that modules lie in.
  /// - Parameter root: the folder with the package's manifest.
  public init(root: String) {
    var paths: [String: String] = [:]
    for folder in ["Specs", "Proofs", "Sources"] {
      let files = FileManager.default.enumerator(atPath: "\(root)/\(folder)")
      while let file = files?.nextObject() as? String {
        guard file.hasSuffix(".swift"), let name = file.split(separator: "/").last else { continue }
        let module = folder == "Sources" ? String(file.prefix { $0 != "/" }) : folder
        paths["\(module)/\(name)"] = "\(folder)/\(file)"
      }
    }
    self.paths = paths
  }

  /// The path below the root; the site's own words where there is no such file.
  public func path(of site: Site) -> String { paths[site.file] ?? site.file }
}
