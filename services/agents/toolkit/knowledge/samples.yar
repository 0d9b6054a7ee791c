/*
  What bytes say by themselves. `weight` is how strongly a match speaks of an attack (0..1, on the scale of signs),
  `technique` an ATT&CK id. Rules look for what honest files seldom hold, never for one file.
*/

rule eicar_test_file
{
  meta:
    description = "the EICAR test file"
    weight = "0.9"
  strings:
    $text = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
  condition:
    $text at 0 and filesize < 200
}

rule upx_packed
{
  meta:
    description = "packed by UPX"
    weight = "0.3"
    technique = "T1027.002"
  strings:
    $magic = "UPX!"
    $first = "UPX0"
    $second = "UPX1"
  condition:
    (uint16(0) == 0x5a4d or uint32(0) == 0x464c457f) and $magic and ($first or $second or uint32(0) == 0x464c457f)
}

rule other_packer
{
  meta:
    description = "section names of a packer or protector"
    weight = "0.4"
    technique = "T1027.002"
  strings:
    $vmp = ".vmp0" fullword
    $themida = ".themida" fullword
    $aspack = ".aspack" fullword
    $mpress = ".MPRESS1" fullword
    $enigma = ".enigma1" fullword
    $petite = ".petite" fullword
  condition:
    uint16(0) == 0x5a4d and any of them
}

rule credential_dumper_words
{
  meta:
    description = "words of a programme that takes credentials out of memory"
    weight = "0.9"
    technique = "T1003.001"
  strings:
    $a = "sekurlsa" ascii wide nocase
    $b = "kerberos::golden" ascii wide nocase
    $c = "lsadump::" ascii wide nocase
    $d = "gentilkiwi" ascii wide nocase
    $e = "privilege::debug" ascii wide nocase
    $f = "SAMKey" ascii wide
    $g = "wdigest.dll" ascii wide nocase
  condition:
    3 of them
}

rule reflective_loader
{
  meta:
    description = "a library that loads itself from memory"
    weight = "0.8"
    technique = "T1620"
  strings:
    $a = "ReflectiveLoader" ascii
    $b = "_ReflectiveLoader@4" ascii
  condition:
    uint16(0) == 0x5a4d and any of them
}

rule beacon_framework_words
{
  meta:
    description = "words of a command-and-control framework"
    weight = "0.85"
    technique = "T1071.001"
  strings:
    $a = "%s as %s\\%s: %d" ascii
    $b = "beacon.x64.dll" ascii nocase
    $c = "beacon.dll" ascii nocase
    $d = "\\\\.\\pipe\\msagent_" ascii wide nocase
    $e = "sliverpb" ascii
    $f = "bishopfox/sliver" ascii
    $g = "metsrv.dll" ascii wide nocase
    $h = "stdapi_sys_process" ascii
    $i = "meterpreter" ascii wide nocase
    $j = "Havoc/payloads" ascii
  condition:
    2 of them
}

rule ransom_note_words
{
  meta:
    description = "words of a ransom note beside commands that take backups away"
    weight = "0.85"
    technique = "T1486"
  strings:
    $note_a = "your files have been encrypted" ascii wide nocase
    $note_b = "all your files are encrypted" ascii wide nocase
    $note_c = "decrypt your files" ascii wide nocase
    $note_d = ".onion" ascii wide nocase
    $deed_a = "vssadmin" ascii wide nocase
    $deed_b = "delete shadows" ascii wide nocase
    $deed_c = "shadowcopy delete" ascii wide nocase
    $deed_d = "recoveryenabled no" ascii wide nocase
    $deed_e = "wbadmin delete" ascii wide nocase
  condition:
    any of ($note_*) and any of ($deed_*)
}

rule coin_miner_words
{
  meta:
    description = "words of a programme that mines coins"
    weight = "0.7"
    technique = "T1496"
  strings:
    $a = "stratum+tcp://" ascii wide nocase
    $b = "stratum+ssl://" ascii wide nocase
    $c = "donate-level" ascii wide
    $d = "randomx" ascii wide nocase
    $e = "xmrig" ascii wide nocase
    $f = "cryptonight" ascii wide nocase
  condition:
    2 of them
}

rule elf_backdoor_words
{
  meta:
    description = "a Linux programme that opens a shell to elsewhere or hides itself"
    weight = "0.6"
    technique = "T1059.004"
  strings:
    $a = "/dev/tcp/" ascii
    $b = "bash -i" ascii
    $c = "/etc/ld.so.preload" ascii
    $d = "HISTFILE=/dev/null" ascii
    $e = "/proc/self/exe" ascii
    $f = "/bin/busybox" ascii
    $g = "/dev/watchdog" ascii
    $h = "enable\x00system\x00shell\x00sh" ascii
  condition:
    uint32(0) == 0x464c457f and filesize < 8MB and 3 of them
}

rule macro_that_runs_by_itself
{
  meta:
    description = "a document whose macro starts by itself and starts programmes"
    weight = "0.65"
    technique = "T1204.002"
  strings:
    $auto_a = "AutoOpen" ascii wide nocase
    $auto_b = "Document_Open" ascii wide nocase
    $auto_c = "Workbook_Open" ascii wide nocase
    $auto_d = "Auto_Open" ascii wide nocase
    $run_a = "WScript.Shell" ascii wide nocase
    $run_b = "ShellExecute" ascii wide nocase
    $run_c = "powershell" ascii wide nocase
    $run_d = "CreateObject" ascii wide nocase
    $run_e = "URLDownloadToFile" ascii wide nocase
    $run_f = "winmgmts:" ascii wide nocase
  condition:
    (uint32(0) == 0xe011cfd0 or uint32(0) == 0x04034b50) and any of ($auto_*) and any of ($run_*)
}

rule document_with_macros
{
  meta:
    description = "a document that holds macros"
    weight = "0.2"
    technique = "T1137.001"
  strings:
    $zipped = "vbaProject.bin" ascii
    $old = { 5f 00 56 00 42 00 41 00 5f 00 50 00 52 00 4f 00 4a 00 45 00 43 00 54 00 }
  condition:
    (uint32(0) == 0x04034b50 and $zipped) or (uint32(0) == 0xe011cfd0 and $old)
}

rule pdf_that_acts
{
  meta:
    description = "a PDF that starts something when it is opened"
    weight = "0.5"
    technique = "T1204.002"
  strings:
    $open = "/OpenAction" ascii
    $also = "/AA" ascii fullword
    $launch = "/Launch" ascii fullword
    $script = "/JavaScript" ascii
    $file = "/EmbeddedFile" ascii
  condition:
    uint32(0) == 0x46445025 and ($open or $also) and ($launch or ($script and $file))
}

rule rtf_with_an_object
{
  meta:
    description = "an RTF document with an object that updates itself, as exploits of the equation editor have"
    weight = "0.6"
    technique = "T1203"
  strings:
    $data = "\\objdata" ascii nocase
    $update = "\\objupdate" ascii nocase
    $equation = "4571756174696f6e2e33" ascii nocase
  condition:
    uint32(0) == 0x74725c7b and $data and ($update or $equation)
}

rule shortcut_that_runs_a_script
{
  meta:
    description = "a shortcut that starts a script host"
    weight = "0.7"
    technique = "T1204.002"
  strings:
    $a = "powershell" ascii wide nocase
    $b = "mshta" ascii wide nocase
    $c = "wscript" ascii wide nocase
    $d = "rundll32" ascii wide nocase
    $e = "cmd.exe" ascii wide nocase
    $more_a = " -enc" ascii wide nocase
    $more_b = "http" ascii wide nocase
    $more_c = "-w hidden" ascii wide nocase
    $more_d = "frombase64string" ascii wide nocase
  condition:
    uint32(0) == 0x0000004c and uint32(4) == 0x00021401 and any of ($a, $b, $c, $d, $e) and any of ($more_*)
}

rule script_that_loads_and_runs
{
  meta:
    description = "a script that fetches or decodes code and runs it"
    weight = "0.6"
    technique = "T1059"
  strings:
    $fetch_a = "DownloadString" ascii wide nocase
    $fetch_b = "Invoke-WebRequest" ascii wide nocase
    $fetch_c = "FromBase64String" ascii wide nocase
    $fetch_d = "MSXML2.XMLHTTP" ascii wide nocase
    $fetch_e = "ADODB.Stream" ascii wide nocase
    $run_a = "Invoke-Expression" ascii wide nocase
    $run_b = /\biex[\s(]/ ascii wide nocase
    $run_c = "WScript.Shell" ascii wide nocase
    $run_d = "Reflection.Assembly" ascii wide nocase
    $run_e = "VirtualAlloc" ascii wide nocase
  condition:
    filesize < 2MB and uint16(0) != 0x5a4d and uint32(0) != 0x464c457f and any of ($fetch_*) and any of ($run_*)
}

rule web_shell
{
  meta:
    description = "a page that runs what its request says"
    weight = "0.8"
    technique = "T1505.003"
  strings:
    $php = /(eval|assert|system|passthru|shell_exec|popen|proc_open)\s{0,8}\(\s{0,8}(base64_decode\s{0,4}\(\s{0,4})?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    $asp = /eval\s{0,8}\(?\s{0,8}request\s{0,4}[(.\[]/ nocase
    $jsp = "Runtime.getRuntime().exec(request.getParameter" nocase
  condition:
    filesize < 2MB and any of them
}
