// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Xenstore

@Suite("A path in the store")
struct StorePathTests {
  @Test("has one valid form", arguments: ["/", "/a", "/local/domain/1/device/vbd/51712", "/A-z_@/9"])
  func valid(text: String) throws {
    #expect(try #require(StorePath(text)).description == text)
  }

  @Test("has no other", arguments: ["", "a", "//", "/a/", "/a//b", "/a b", "/ä", "/a\u{0}", "/a:b"])
  func invalid(text: String) {
    #expect(StorePath(text) == nil)
  }

  @Test("is at most 3072 bytes long, 2048 of them relative")
  func lengths() {
    #expect(StorePath("/" + String(repeating: "a", count: 3071)) != nil)
    #expect(StorePath("/" + String(repeating: "a", count: 3072)) == nil)
    #expect(StorePath(String(repeating: "a", count: 2048), of: DomainID(1)) != nil)
    #expect(StorePath(String(repeating: "a", count: 2049), of: DomainID(1)) == nil)
  }

  @Test("given without a slash begins at the domain's own directory")
  func relative() {
    #expect(StorePath("device/vbd", of: DomainID(7))?.description == "/local/domain/7/device/vbd")
    #expect(StorePath("/vm", of: DomainID(7))?.description == "/vm")
    #expect(StorePath("", of: DomainID(7)) == nil)
  }

  @Test("knows its parent, its name and what it lies within")
  func family() throws {
    let path = try #require(StorePath("/a/bc/d"))
    #expect(path.parent?.description == "/a/bc" && path.name == "d")
    #expect(StorePath("/a")?.parent == .root && StorePath.root.parent == nil)
    #expect(path.isWithin(path) && path.isWithin(.root))
    #expect(path.isWithin(try #require(StorePath("/a/bc"))))
    #expect(!path.isWithin(try #require(StorePath("/a/b"))))
    #expect(!(try #require(StorePath("/a"))).isWithin(path))
  }
}
