"""Memory as Linux says it: of this process, of the machine, of control groups of either version."""

from __future__ import annotations

import mmap

from edge.node.memory import PAGE, UNBOUNDED, Memory, give_back

MIB, GIB = 1 << 20, 1 << 30
MEMINFO = "MemTotal:        8388608 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\n"


def machine(tmp_path, **files) -> Memory:
    """A machine whose files say this; `__` is `/`, `_DOT_` a dot."""
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Memory(tmp_path)


def test_a_machine_without_groups(tmp_path):
    """All that it has."""
    memory = machine(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/\n")
    assert (memory.total(), memory.available()) == (8 * GIB, 4 * GIB)


def test_a_group_of_version_2_and_those_above(tmp_path):
    """The least of them counts; what the kernel can drop is not taken."""
    folder = "sys__fs__cgroup__edge_DOT_slice"
    memory = machine(
        tmp_path,
        proc__meminfo=MEMINFO,
        proc__self__cgroup="0::/edge.slice/edge.service\n",
        **{
            f"{folder}__memory_DOT_max": f"{GIB}\n",
            f"{folder}__memory_DOT_current": f"{900 * MIB}\n",
            f"{folder}__memory_DOT_stat": f"anon 5\ninactive_file {300 * MIB}\n",
            f"{folder}__edge_DOT_service__memory_DOT_max": "max\n",
        },
    )
    assert (memory.total(), memory.available()) == (GIB, 424 * MIB)


def test_a_group_of_version_1(tmp_path):
    """Other names, and a number that means none."""
    folder = "sys__fs__cgroup__memory"
    memory = machine(
        tmp_path,
        proc__meminfo=MEMINFO,
        proc__self__cgroup="5:cpu,cpuacct:/x\n4:memory:/edge\n",
        **{
            f"{folder}__memory_DOT_limit_in_bytes": f"{2**63 - 4096}\n",
            f"{folder}__edge__memory_DOT_limit_in_bytes": f"{GIB}\n",
            f"{folder}__edge__memory_DOT_usage_in_bytes": f"{600 * MIB}\n",
        },
    )
    assert (memory.total(), memory.available()) == (GIB, 424 * MIB)


def test_what_cannot_be_read_bounds_nothing(tmp_path):
    """Another system than Linux, or a folder that is hidden."""
    memory = Memory(tmp_path)
    assert (memory.resident(), memory.total(), memory.available()) == (0, UNBOUNDED, UNBOUNDED)


def test_this_process_takes_what_it_touches():
    """Real memory, and its end."""
    memory = Memory()
    before = memory.resident()
    taken = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, 64 * MIB, PAGE):
        taken[page] = 1
    assert memory.resident() - before > 60 * MIB
    taken.close()
    give_back()
    assert memory.resident() - before < 10 * MIB
    assert 0 < memory.available() <= memory.total() < UNBOUNDED
