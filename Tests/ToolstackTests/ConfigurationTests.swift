// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Toolstack

/// Parses a file called `g.cfg`.
private func parse(_ text: String) throws -> (configuration: GuestConfiguration, warnings: [String]) {
  let result = try GuestConfiguration.parse(Array(text.utf8), file: "dir/g.cfg")
  return (result.configuration, result.warnings.map(\.description))
}

@Suite("A configuration file")
struct ConfigurationTests {
  @Test("gives all it says to the domain")
  func complete() throws {
    let text = """
      # A comment; then every key.
      name = "grub"            # with one behind
      kernel = '/boot/grub.bin'; ramdisk = "/boot/initrd"
      memory = 0x40
      vcpus = "2"
      root = "/dev/xvda1"
      extra = "quiet"
      extra += " single"
      disk = [ 'file:/a.img,xvda,w',
               "format=raw, vdev=xvdb, access=ro, target=/b,c.img",   # a comma in a path
      ]
      on_poweroff = "restart"
      on_reboot = "destroy"
      on_crash = "restart"
      type = "pv"
      """
    let (configuration, warnings) = try parse(text)
    let expected = GuestConfiguration(
      name: "grub", kernel: "/boot/grub.bin", ramdisk: "/boot/initrd",
      commandLine: "root=/dev/xvda1 quiet single", memory: 64, vcpus: 2,
      disks: [
        DiskConfiguration(
          target: "/a.img", device: try #require(VirtualDevice(name: "xvda")), readOnly: false),
        DiskConfiguration(
          target: "/b,c.img", device: try #require(VirtualDevice(name: "xvdb")), readOnly: true),
      ],
      onPoweroff: .restart, onReboot: .destroy, onCrash: .restart)
    #expect(configuration == expected)
    #expect(warnings == [])
  }

  @Test("needs only a kernel")
  func minimal() throws {
    let (configuration, warnings) = try parse("kernel='k'")
    #expect(configuration == GuestConfiguration(name: "g", kernel: "k"))
    #expect(configuration.memory == 128 && configuration.onReboot == .restart)
    #expect(configuration.type == .pv)
    #expect(try parse("kernel='k'\ntype='pvh'").configuration.type == .pvh)
    #expect(warnings == [])
  }

  @Test(
    "that cannot be used is refused with the place, the reason and the remedy",
    arguments: [
      ("kernel = \"k\nmemory = 1", "1:10: the string that begins here has no closing '\"' on its line"),
      ("kernel", "1:7: expected '=' after 'kernel', found the end of the file"),
      ("kernel == 'k'", "1:9: expected a string, a number or a list, found '='"),
      ("kernel = k", "1:10: put 'k' in quotes"),
      ("kernel = /boot/k", "1:10: unexpected '/'; put text in quotes"),
      (
        "kernel = 'k' memory = 3",
        "1:14: expected the end of the line after the value of 'kernel', found 'memory'"
      ),
      ("= 3", "1:1: expected a line of the form key = value, found '='"),
      ("\n  disk = [ 'a'", "2:10: the list that begins here has no closing ']'"),
      ("disk = [ 'a' 'b' ]", "1:14: expected ',' or ']' in the list, found the string \"b\""),
      ("disk = [[[[[[[[[ ]]]]]]]]]", "1:16: lists are nested too deeply"),
      ("memory = 12MB", "1:10: '12MB' is no number; put text in quotes"),
      ("memory = 99999999999999999999", "1:10: '99999999999999999999' is no number; put text in quotes"),
      ("kernel = 'a\\qb'", "1:12: unknown escape; write \\\\ for a backslash"),
      ("kernel = 'a\u{0}b'", "1:10: the string holds a zero byte; remove it"),
      ("extra = 1\nextra += 'x'", "2:1: += cannot add a string to a number; 'extra' was set on line 1"),
      ("kernel + 'x'", "1:8: unexpected '+'; did you mean '+='?"),
      ("kernel = 3", "1:10: kernel is a string, not a number: write kernel = \"…\""),
      ("kernel='k'\nmemory = 'much'", "2:10: memory is a number of MiB, such as memory = 4"),
      ("kernel='k'\nmemory = 3", "2:10: memory is 4 to 65536 MiB, not 3"),
      ("kernel='k'\nvcpus = 33", "2:9: vcpus is 1 to 32 virtual processors, not 33"),
      ("kernel='k'\nname = 'a b'", "2:8: a domain's name is printable ASCII without blanks and slashes"),
      ("kernel='k'\non_crash='x'", "2:10: on_crash is \"destroy\" or \"restart\", not \"x\""),
      ("kernel='k'\ndisk=[3]", "2:7: disk is a list of strings: write disk = [ \"…\", \"…\" ]"),
      (
        "type = 'hvm'",
        "1:8: type = \"hvm\" is not supported; only PV and PVH domains are: write type = \"pv\" and give a PV kernel"
      ),
      (
        "kernel='k'\ndisk=['a,raw,xvda,rw', 'b,raw,xvda,rw']",
        "2:24: two disks are called xvda; give each its own name"
      ),
    ])
  func refused(text: String, message: String) {
    #expect {
      try parse(text)
    } throws: {
      "\($0)" == "dir/g.cfg:" + message
    }
  }

  @Test("without a kernel is refused as a whole")
  func noKernel() {
    #expect {
      try parse("memory = 64")
    } throws: {
      "\($0)"
        == "dir/g.cfg: no kernel; add a line such as kernel = \"/usr/lib/grub-xen/grub-x86_64-xen.bin\""
    }
  }

  @Test("with bytes that are no UTF-8 is refused where they stand")
  func notUnicode() {
    #expect {
      try GuestConfiguration.parse([0x6b, 0x3d, 0x27, 0xff, 0x27], file: "f")
    } throws: {
      "\($0)" == "f:1:3: the string is not valid UTF-8; save the file as UTF-8"
    }
  }

  @Test(
    "with a doubtful line is used, and the line warned of",
    arguments: [
      ("memroy = 64", "2:1: unknown key 'memroy' has no effect; did you mean 'memory'?"),
      ("frobnicate = []", "2:1: unknown key 'frobnicate' has no effect; remove it"),
      ("maxmem = 64", "2:1: 'maxmem' is not supported yet and has no effect"),
      (
        "vif = ['mac=00:16:3e:00:00:01,bridge=br0']",
        "2:8: vif: 'bridge' is not supported yet and has no effect"
      ),
      ("kernel = 'j'", "2:1: 'kernel' was set before, on line 1; this line counts"),
      ("on_crash = 'preserve'", "2:12: on_crash = \"preserve\" is not supported yet; taken as \"destroy\""),
      (
        "on_crash = 'coredump-restart'",
        "2:12: on_crash = \"coredump-restart\" is not supported yet; taken as \"restart\""
      ),
      ("cmdline = 'a'; extra = 'b'", "2:1: cmdline is given, so root and extra have no effect"),
    ])
  func doubtful(line: String, warning: String) throws {
    #expect(try parse("kernel='k'\n" + line).warnings == ["dir/g.cfg:" + warning])
  }
}

@Suite("A disk")
struct DiskConfigurationTests {
  @Test(
    "can be written in each of xl's forms",
    arguments: [
      ("/d.img,raw,xvda,rw", "/d.img", "xvda", false),
      ("/d.img, raw, xvda, ro", "/d.img", "xvda", true),
      ("/d.img,,hda,w", "/d.img", "hda", false),
      ("/d=1.img,raw,sdb2", "/d=1.img", "sdb2", false),
      ("phy:/dev/sdb,xvdc,r", "/dev/sdb", "xvdc", true),
      ("file:d.img,xvdaa,w", "d.img", "xvdaa", false),
      ("vdev=xvda,target=/x, y=z", "/x, y=z", "xvda", false),
      ("/cd.iso,devtype=cdrom,vdev=xvdd", "/cd.iso", "xvdd", true),
      ("/cd.iso,raw,xvdd,rw,cdrom", "/cd.iso", "xvdd", false),
    ])
  func forms(text: String, target: String, device: String, readOnly: Bool) throws {
    let disk = try DiskConfiguration(text)
    #expect(disk.target == target && disk.device.name == device && disk.readOnly == readOnly)
  }

  @Test("is raw unless its format is said to be qcow2")
  func format() throws {
    for (text, format) in [
      ("/d,raw,xvda", .raw), ("/d,,xvda", .raw), ("file:/d,xvda", .raw), ("/d,qcow2,xvda", .qcow2),
      ("format=qcow2,vdev=xvda,target=/d", .qcow2),
    ] as [(String, DiskConfiguration.Format)] {
      #expect(try DiskConfiguration(text).format == format)
    }
  }

  @Test("gives room back unless its configuration says no-discard")
  func discard() throws {
    for (text, discard) in [
      ("/d,raw,xvda", true), ("/d,raw,xvda,rw,discard", true), ("/d,raw,xvda,rw,no-discard", false),
      ("no-discard,raw,xvda", true),
    ] {
      #expect(try DiskConfiguration(text).discard == discard)
    }
  }

  @Test(
    "that makes no sense is refused with a remedy",
    arguments: [
      ("", "no image; write target=/path/of/image, or the path first"),
      ("/d", "no device name; add vdev=xvda"),
      ("/d,raw,vda", "'vda' is no device name; write one such as xvda, xvdb1 or sda"),
      ("/d,raw,xvda,rx", "access is ro or rw, not rx"),
      (
        "/d,vmdk,xvda", "format vmdk is not supported; convert the image: qemu-img convert -O raw /d /d.raw"
      ),
      ("/d,raw,xvda,rw,more", "too many fields, beginning with 'more'"),
      ("/d,colour=red", "unknown field 'colour'; there are target, format, vdev and access"),
      ("/d,backend=dom5,vdev=xvda", "'backend=dom5' is not supported; remove it"),
    ])
  func refused(text: String, message: String) {
    #expect {
      try DiskConfiguration(text)
    } throws: {
      ($0 as? SpecificationProblem)?.message == message
    }
  }

  @Test(
    "has the number that the ABI gives its name",
    arguments: [
      ("xvda", 51712), ("xvda1", 51713), ("xvdb", 51728), ("xvdp15", 51967), ("xvdq", 0x1000_1000),
      ("xvda16", 0x1000_0010), ("xvdaa", 0x1000_1a00), ("sda", 2048), ("sdb1", 2065), ("hda", 768),
      ("hdb", 832),
      ("hdc", 5632), ("hdd1", 5697),
    ])
  func numbers(name: String, number: Int) {
    #expect(VirtualDevice(name: name)?.number == number)
  }

  @Test(
    "has no other name",
    arguments: ["", "xvd", "xvd1", "xvda01", "xvda256", "hde", "sdaa", "xvdA", "vda", "xvdaé"])
  func names(name: String) {
    #expect(VirtualDevice(name: name) == nil)
  }
}

@Suite("A network interface")
struct NetworkConfigurationTests {
  @Test("has an address, a bridge and other fields")
  func fields() throws {
    let interface = try NetworkConfiguration("mac=00:16:3e:12:34:56, bridge=br0,model=e1000")
    #expect(interface.mac == [0x00, 0x16, 0x3e, 0x12, 0x34, 0x56])
    #expect(interface.bridge == "br0" && interface.fields == ["model": "e1000"])
    #expect(try NetworkConfiguration("").mac == nil)
  }

  @Test("has ports of the host at which its guest can be reached")
  func forwards() throws {
    let interface = try NetworkConfiguration("hostfwd=tcp:127.0.0.1:8080-:80, hostfwd=udp::53-:5353")
    #expect(interface.forwards.map(\.description) == ["tcp:127.0.0.1:8080-:80", "udp:0.0.0.0:53-:5353"])
    #expect(interface.fields.isEmpty && interface.tap == nil)
    #expect(try NetworkConfiguration("vifname=tap0").tap == "tap0")
  }

  @Test(
    "has no other form of a port",
    arguments: [
      "", "tcp:127.0.0.1:8080", "tcp:127.0.0.1:8080-80", "tcp:127.0.0.1:8080-:0", "tcp:127.0.0.1:0-:80",
      "tcp:127.0.0.1:65536-:80", "icmp::1-:1", "tcp:localhost:1-:1", "tcp:1.2.3:1-:1", "tcp:1.2.3.256:1-:1",
      "tcp::1-:1-:2", "tcp::1:2-:1",
    ])
  func noForwards(text: String) {
    #expect {
      try NetworkConfiguration("hostfwd=\(text)")
    } throws: {
      ($0 as? SpecificationProblem)?.message
        == "'\(text)' is no port to forward; write one such as tcp:127.0.0.1:8080-:80"
    }
  }

  @Test(
    "with a bad field is refused",
    arguments: [
      ("bridge", "'bridge' is not of the form key=value"),
      (
        "vifname=tap0,hostfwd=tcp::1-:1", "hostfwd is for user-mode networking; remove it, or vifname"
      ),
      ("mac=1:2:3:4:5:6", "'1:2:3:4:5:6' is no MAC address; write one such as 00:16:3e:12:34:56"),
      ("mac=01:16:3e:12:34:56", "'01:16:3e:12:34:56' is a multicast address; its first byte must be even"),
    ])
  func refused(text: String, message: String) {
    #expect {
      try NetworkConfiguration(text)
    } throws: {
      ($0 as? SpecificationProblem)?.message == message
    }
  }
}
