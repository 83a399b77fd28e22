"""What stands in the memory of processes."""

from .cases import Skip


def memory(pid):
    """All that a process can read: for what cores leave out, and where ptrace is refused but root may look."""
    out = []
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            maps = [line.split() for line in f]
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
            for m in maps:
                if "r" not in m[1] or m[-1] in ("[vvar]", "[vsyscall]"):
                    continue
                start, end = (int(x, 16) for x in m[0].split("-"))
                f.seek(start)
                try:
                    out.append(f.read(end - start))
                except OSError:
                    pass  # beyond the end of a file
    except PermissionError as e:
        raise Skip("other processes' memory cannot be read here") from e
    except (FileNotFoundError, ProcessLookupError):
        pass  # a worker that is not needed any more
    return b"\0".join(out)
