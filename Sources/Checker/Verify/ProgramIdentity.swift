// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// What a program is, by its content: worked out when it is first asked for, beside other work.
public final class ProgramIdentity: Sendable {
  private let program: Data
  private let known = Mutex<ContentHash?>(nil)

  /// - Parameter path: of the program's file. Nil if it cannot be read.
  public init?(path: String) {
    guard let program = try? Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe) else {
      return nil
    }
    self.program = program
  }

  public var hash: ContentHash {
    known.withLock { known in
      if let known { return known }
      let hash = ContentHash(of: program.bytes)
      known = hash
      return hash
    }
  }
}
