// SPDX-License-Identifier: Apache-2.0

import Corpora
import FakeGuests
import Interfaces
import Testing

@testable import Devices

/// Every seed and every regression of the network's fuzz target, replayed.
@Suite("The network's corpus and regressions")
struct NetworkCorpusTests {
  @Test("hold what must hold")
  func replays() throws {
    for (name, bytes) in try Corpus.seeds(of: "Network") + Corpus.regressions(of: "Network") {
      #expect(bytes.withUnsafeBufferPointer { NetworkScript.run($0) } == nil, "\(name)")
    }
  }

  @Test(
    "find a back end that does not let go of pages, one that writes what it may not, and one that reads it")
  func canaries() throws {
    let corpus = try Corpus.seeds(of: "Network").map(\.bytes)
    func complaints(_ grants: (any GrantAccess) -> any GrantAccess) -> [String] {
      corpus.compactMap { $0.withUnsafeBufferPointer { NetworkScript.run($0, grants) } }
    }
    #expect(complaints { Clinging(inner: $0) }.contains { $0.hasSuffix("are still mapped") })
    #expect(complaints { Careless(inner: $0) }.contains { $0.hasSuffix("which the guest did not offer") })
    #expect(complaints { Astray(inner: $0) }.contains { $0.hasSuffix("what the guest did not grant") })
  }
}

/// Never unmaps.
private struct Clinging: GrantAccess {
  let inner: any GrantAccess
  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    inner.map(references, readOnly: readOnly)
  }
  func unmap(_ pages: [MappedPage]) {}
}

/// Maps all for reading, which its user does not keep to.
private struct Careless: GrantAccess {
  let inner: any GrantAccess
  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    inner.map(references, readOnly: true)
  }
  func unmap(_ pages: [MappedPage]) { inner.unmap(pages) }
}

/// Reaches the page behind the one that was granted.
private struct Astray: GrantAccess {
  let inner: any GrantAccess
  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    inner.map(references, readOnly: readOnly)
      .map { $0.map { MappedPage(bytes: $0.bytes + frameSize, handle: $0.handle) } }
  }
  func unmap(_ pages: [MappedPage]) { inner.unmap(pages) }
}
