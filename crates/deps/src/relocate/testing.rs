//! Builds small ELF files for tests.

/// A 64-bit little-endian ELF file with the tables that loaders read and nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct ElfBuilder {
    machine: u16,
    interpreter: Option<String>,
    needed: Vec<String>,
    soname: Option<String>,
    rpath: Option<String>,
    runpath: Option<String>,
    needs: Vec<(String, Vec<String>)>,
    defines: Vec<String>,
    stack: Option<bool>,
    kernel: Option<[u32; 3]>,
    data: Vec<u8>,
}

impl ElfBuilder {
    pub(crate) fn amd64() -> Self {
        Self {
            machine: 62,
            stack: Some(false),
            ..Self::default()
        }
    }

    pub(crate) fn arm64() -> Self {
        Self {
            machine: 183,
            ..Self::amd64()
        }
    }

    pub(crate) fn interpreter(mut self, path: &str) -> Self {
        self.interpreter = Some(path.to_owned());
        self
    }

    pub(crate) fn needed(mut self, names: &[&str]) -> Self {
        self.needed
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    pub(crate) fn soname(mut self, name: &str) -> Self {
        self.soname = Some(name.to_owned());
        self
    }

    pub(crate) fn rpath(mut self, path: &str) -> Self {
        self.rpath = Some(path.to_owned());
        self
    }

    pub(crate) fn runpath(mut self, path: &str) -> Self {
        self.runpath = Some(path.to_owned());
        self
    }

    pub(crate) fn needs(mut self, library: &str, versions: &[&str]) -> Self {
        let versions = versions.iter().map(|name| (*name).to_owned()).collect();
        self.needs.push((library.to_owned(), versions));
        self
    }

    pub(crate) fn defines(mut self, versions: &[&str]) -> Self {
        self.defines
            .extend(versions.iter().map(|name| (*name).to_owned()));
        self
    }

    pub(crate) fn stack(mut self, executable: bool) -> Self {
        self.stack = Some(executable);
        self
    }

    pub(crate) fn no_stack_header(mut self) -> Self {
        self.stack = None;
        self
    }

    pub(crate) fn kernel(mut self, version: [u32; 3]) -> Self {
        self.kernel = Some(version);
        self
    }

    /// Bytes behind everything else, at an offset that eight divides.
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.data.extend_from_slice(data);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        const HEADERS: usize = 64 + 5 * 56;
        let mut body = Vec::new();
        let mut segments: Vec<(u32, u32, usize, usize)> = Vec::new();
        let place = |body: &mut Vec<u8>, bytes: &[u8]| {
            body.resize(body.len().next_multiple_of(8), 0);
            let at = HEADERS + body.len();
            body.extend_from_slice(bytes);
            (at, bytes.len())
        };
        if let Some(path) = &self.interpreter {
            let (at, size) = place(&mut body, &[path.as_bytes(), b"\0"].concat());
            segments.push((3, 4, at, size));
        }
        let mut strings = vec![0];
        let mut name = |text: &str| {
            let at = strings.len() as u32;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let mut entries: Vec<(u64, u64)> = Vec::new();
        entries.extend(self.needed.iter().map(|text| (1, u64::from(name(text)))));
        for (tag, text) in [(14, &self.soname), (15, &self.rpath), (29, &self.runpath)] {
            if let Some(text) = text {
                entries.push((tag, u64::from(name(text))));
            }
        }
        let mut needs = Vec::new();
        for (index, (library, versions)) in self.needs.iter().enumerate() {
            let last = index + 1 == self.needs.len();
            let size = 16 + 16 * versions.len() as u32;
            needs.extend([1, 0, versions.len() as u8, 0]);
            for word in [name(library), 16, if last { 0 } else { size }] {
                needs.extend(word.to_le_bytes());
            }
            for (index, version) in versions.iter().enumerate() {
                let next = if index + 1 == versions.len() { 0 } else { 16 };
                for word in [0, 0, name(version), next] {
                    needs.extend(u32::to_le_bytes(word));
                }
            }
        }
        let mut defines = Vec::new();
        for (index, version) in self.defines.iter().enumerate() {
            let next = if index + 1 == self.defines.len() {
                0
            } else {
                28
            };
            for word in [1, 1 << 16, 0, 20, next, name(version), 0] {
                defines.extend(u32::to_le_bytes(word));
            }
        }
        if !needs.is_empty() {
            let (at, _) = place(&mut body, &needs);
            entries.push((0x6fff_fffe, at as u64));
            entries.push((0x6fff_ffff, self.needs.len() as u64));
        }
        if !defines.is_empty() {
            let (at, _) = place(&mut body, &defines);
            entries.push((0x6fff_fffc, at as u64));
            entries.push((0x6fff_fffd, self.defines.len() as u64));
        }
        if !entries.is_empty() {
            let (at, size) = place(&mut body, &strings);
            entries.extend([(5, at as u64), (10, size as u64), (0, 0)]);
            let bytes: Vec<u8> = entries
                .iter()
                .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
                .collect();
            let (at, size) = place(&mut body, &bytes);
            segments.push((2, 6, at, size));
        }
        if let Some(version) = self.kernel {
            let words = [4, 16, 1, u32::from_le_bytes(*b"GNU\0"), 0];
            let bytes: Vec<u8> = words
                .iter()
                .chain(&version)
                .flat_map(|word| word.to_le_bytes())
                .collect();
            let (at, size) = place(&mut body, &bytes);
            segments.push((4, 4, at, size));
        }
        if let Some(executable) = self.stack {
            segments.push((0x6474_e551, 6 | u32::from(executable), 0, 0));
        }
        place(&mut body, &self.data);
        segments.push((1, 5, 0, HEADERS + body.len()));

        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(3u16.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        for half in [64, 56, segments.len() as u16, 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        for (kind, flags, at, size) in segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            for value in [at, at, at, size, size, 4] {
                bytes.extend((value as u64).to_le_bytes());
            }
        }
        bytes.resize(HEADERS, 0);
        bytes.extend(body);
        bytes
    }
}
