-- Only where: SELECT count() = 0 FROM system.mutations WHERE database = currentDatabase() AND table = 'logs' AND position(command, 'auditd_session = ') > 0
-- Rows of before 0002 have their fields in `ecs` only, and a search for one reads its column. In the background; doing it
-- again changes nothing. A default expression would be computed at each insert that leaves a column out.
ALTER TABLE logs UPDATE
    event_category = JSONExtract(ecs, 'event.category', 'String'),
    event_code = JSONExtract(ecs, 'event.code', 'String'),
    event_action = JSONExtract(ecs, 'event.action', 'String'),
    destination_ip = JSONExtract(ecs, 'destination.ip', 'String'),
    auditd_session = JSONExtract(ecs, 'auditd.session', 'String'),
    winlog_logon_id = JSONExtract(ecs, 'winlog.logon.id', 'String')
WHERE logsource = ''
