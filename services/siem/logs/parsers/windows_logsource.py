"""Which Sigma log sources a Windows event belongs to: channel -> services, provider and event id -> categories.

Sources: SigmaHQ's taxonomy and the channels named in its rules' definitions. Category names are Sigma's.
"""

from collections.abc import Mapping
from typing import Any

_CHANNELS = {
    "Security": "security",
    "Application": "application",
    "System": "system",
    "Microsoft-Windows-Sysmon/Operational": "sysmon",
    "Windows PowerShell": "powershell-classic",
    "Microsoft-Windows-PowerShell/Operational": "powershell",
    "PowerShellCore/Operational": "powershell",
    "Microsoft-Windows-TaskScheduler/Operational": "taskscheduler",
    "Microsoft-Windows-WMI-Activity/Operational": "wmi",
    "DNS Server": "dns-server",
    "Microsoft-Windows-DNS-Server/Audit": "dns-server-audit",
    "Microsoft-Windows-DNS-Server/Analytical": "dns-server-analytic",
    "Microsoft-Windows-DriverFrameworks-UserMode/Operational": "driver-framework",
    "Microsoft-Windows-NTLM/Operational": "ntlm",
    "Microsoft-Windows-DHCP-Server/Operational": "dhcp",
    "MSExchange Management": "msexchange-management",
    "Microsoft-Windows-AppLocker/MSI and Script": "applocker",
    "Microsoft-Windows-AppLocker/EXE and DLL": "applocker",
    "Microsoft-Windows-AppLocker/Packaged app-Deployment": "applocker",
    "Microsoft-Windows-AppLocker/Packaged app-Execution": "applocker",
    "Microsoft-Windows-PrintService/Admin": "printservice-admin",
    "Microsoft-Windows-PrintService/Operational": "printservice-operational",
    "Microsoft-Windows-CodeIntegrity/Operational": "codeintegrity-operational",
    "Microsoft-Windows-SmbClient/Security": "smbclient-security",
    "Microsoft-Windows-SmbClient/Connectivity": "smbclient-connectivity",
    "Microsoft-Windows-SMBServer/Connectivity": "smbserver-connectivity",
    "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall": "firewall-as",
    "Microsoft-Windows-Bits-Client/Operational": "bits-client",
    "Microsoft-Windows-Windows Defender/Operational": "windefend",
    "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational": "terminalservices-localsessionmanager",
    "Microsoft-ServiceBus-Client/Operational": "servicebus-client microsoft-servicebus-client",
    "Microsoft-ServiceBus-Client/Admin": "servicebus-client microsoft-servicebus-client",
    "Microsoft-Windows-LDAP-Client/Debug": "ldap ldap_debug",
    "Microsoft-Windows-Security-Mitigations/Kernel Mode": "security-mitigations",
    "Microsoft-Windows-Security-Mitigations/User Mode": "security-mitigations",
    "Microsoft-Windows-Diagnosis-Scripted/Operational": "diagnosis-scripted",
    "Microsoft-Windows-Shell-Core/Operational": "shell-core",
    "OpenSSH/Operational": "openssh",
    "Microsoft-Windows-BitLocker/BitLocker Management": "bitlocker",
    "Microsoft-Windows-VHDMP/Operational": "vhdmp",
    "Microsoft-Windows-AppXDeploymentServer/Operational": "appxdeployment-server",
    "Microsoft-Windows-LSA/Operational": "lsa-server",
    "Microsoft-Windows-AppxPackaging/Operational": "appxpackaging-om",
    "Microsoft-Windows-DNS Client Events/Operational": "dns-client",
    "Microsoft-Windows-DNS-Client/Operational": "dns-client",
    "Microsoft-Windows-AppModel-Runtime/Admin": "appmodel-runtime",
    "Microsoft-Windows-CAPI2/Operational": "capi2",
    "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational": (
        "certificateservicesclient-lifecycle-system"
    ),
    "Microsoft-Windows-Application-Experience/Program-Telemetry": "application-experience",
    "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant": "application-experience",
    "Microsoft-Windows-Hyper-V-Worker": "hyper-v-worker",
    "Microsoft-IIS-Configuration/Operational": "iis-configuration",
    "Microsoft-Windows-Kernel-EventTracing": "kernel-event-tracing",
    "Microsoft-Windows-Kernel-ShimEngine/Operational": "kernel-shimengine",
    "Microsoft-Windows-Kernel-ShimEngine/Diagnostic": "kernel-shimengine",
    "Microsoft-Windows-Ntfs/Operational": "ntfs",
    "Microsoft-Windows-SENSE/Operational": "sense",
}
#: Channel in lower case -> Sigma services. Collectors change the case of channel names ("security").
SERVICES: dict[str, tuple[str, ...]] = {channel.lower(): tuple(names.split()) for channel, names in _CHANNELS.items()}

#: Sysmon event id -> Sigma categories; a rule is written for one of them.
SYSMON_CATEGORIES: dict[int, tuple[str, ...]] = {
    1: ("process_creation",),
    2: ("file_change",),
    3: ("network_connection",),
    4: ("sysmon_status",),
    5: ("process_termination",),
    6: ("driver_load",),
    7: ("image_load",),
    8: ("create_remote_thread",),
    9: ("raw_access_thread",),
    10: ("process_access",),
    11: ("file_event",),
    12: ("registry_event", "registry_add", "registry_delete"),
    13: ("registry_event", "registry_set"),
    14: ("registry_event", "registry_rename"),
    15: ("create_stream_hash",),
    16: ("sysmon_status",),
    17: ("pipe_created",),
    18: ("pipe_created",),
    19: ("wmi_event",),
    20: ("wmi_event",),
    21: ("wmi_event",),
    22: ("dns_query",),
    23: ("file_delete",),
    24: ("clipboard_capture",),
    25: ("process_tampering",),
    26: ("file_delete",),
    27: ("file_block_executable",),
    28: ("file_block_shredding",),
    29: ("file_executable_detected",),
    255: ("sysmon_error",),
}
_POWERSHELL: dict[int, tuple[str, ...]] = {4103: ("ps_module",), 4104: ("ps_script",)}
_POWERSHELL_CLASSIC: dict[int, tuple[str, ...]] = {
    400: ("ps_classic_start",),
    600: ("ps_classic_provider_start",),
    800: ("ps_classic_script",),
}
#: The kernel's own file trace; the categories Sysmon has no event for.
_KERNEL_FILE: dict[int, tuple[str, ...]] = {
    12: ("file_access",), 14: ("file_access",), 26: ("file_delete",), 27: ("file_rename",), 30: ("file_event",),
}  # fmt: skip
_CATEGORIES: dict[str, dict[int, tuple[str, ...]]] = {
    "microsoft-windows-sysmon/operational": SYSMON_CATEGORIES,
    "microsoft-windows-powershell/operational": _POWERSHELL,
    "powershellcore/operational": _POWERSHELL,
    "windows powershell": _POWERSHELL_CLASSIC,
    "microsoft-windows-kernel-file/analytic": _KERNEL_FILE,
}


def services_of(channel: str) -> tuple[str, ...]:
    """The Sigma services of a channel, in any case; () for one that Sigma has no name for."""
    return SERVICES.get(channel.lower(), ())


def categories_of(channel: str, event_id: int | None, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The Sigma categories of an event; () where it has none. Key creations and deletions share Sysmon's id 12 and
    are told apart by `EventType` where the event has it."""
    table = _CATEGORIES.get(channel.lower())
    if table is None or event_id is None:
        return ()
    categories = table.get(event_id, ())
    if event_id == 12 and table is SYSMON_CATEGORIES:
        kind = fields.get("EventType")
        if kind == "CreateKey":
            return categories[:2]
        if kind in ("DeleteKey", "DeleteValue"):
            return categories[::2]
    return categories
