-- The accounts of deploy/operators.md, for the databases shop and shop_copy. The password is that of the compose file.
CREATE DATABASE IF NOT EXISTS shop;
CREATE DATABASE IF NOT EXISTS shop_copy;
CREATE USER IF NOT EXISTS 'towline'@'%' IDENTIFIED BY 'change-me';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'towline'@'%';
GRANT SELECT ON shop.* TO 'towline'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, TRIGGER ON shop_copy.* TO 'towline'@'%';
GRANT REPLICATION_APPLIER ON *.* TO 'towline'@'%';
